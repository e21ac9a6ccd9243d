//! Where jobs are kept and who is told of them: what may be said, and that secrets are never shown.

use super::super::{HostPattern, PostgresUrl};
use super::*;

const FAULTS: &str = r#"
[jobs] store = 'sqlit'
2:9: `jobs.store`: `sqlit` is no store of jobs: write "sqlite", or "postgres://user:password@host/database?sslmode=require"
[jobs] store = 'host=db password=hidden'
2:9: `jobs.store`: this is no store of jobs: write "sqlite", or "postgres://user:password@host/database?sslmode=require"
[jobs] store = 'postgres://me:hid/den@db/jobs'
2:9: `jobs.store`: a `/`, `?`, `#` or `@` in a user name or password is written `%2F`, `%3F`, `%23` or `%40`: write "postgres://user:password@host/database?sslmode=require"
[jobs] store = 'postgres://me:hid@den@db/jobs'
2:9: `jobs.store`: a `/`, `?`, `#` or `@` in a user name or password is written `%2F`, `%3F`, `%23` or `%40`: write "postgres://user:password@host/database?sslmode=require"
[jobs] store = 'postgres:///jobs'
2:9: `jobs.store`: the URL names no host: write "postgres://user:password@host/database?sslmode=require"
[jobs] store = 'postgres://me:hidden@db:port/jobs'
2:9: `jobs.store`: the URL cannot be used: invalid value for option `port`: write "postgres://user:password@host/database?sslmode=require"
[jobs] store = 'postgres://me:hidden@db/jobs?sslmode=verify-full'
2:9: `jobs.store`: the URL cannot be used: invalid value for option `sslmode`: write "postgres://user:password@host/database?sslmode=require"
[jobs] payloads = 'shared'
2:12: `jobs.payloads`: `shared` is no place for payloads: write "files", "database", "s3://bucket/prefix", or the absolute path of a folder
[jobs] payloads = 's3://key:hidden@bucket'
2:12: `jobs.payloads`: `s3://…` is no place for payloads: write "files", "database", "s3://bucket/prefix", or the absolute path of a folder
[jobs] payloads = 's3://bucket/../other'
2:12: `jobs.payloads`: `s3://…` is no place for payloads: write "files", "database", "s3://bucket/prefix", or the absolute path of a folder
[jobs.callbacks] secret = 'hidden'
2:10: `jobs.callbacks.secret`: a secret begins with `whsec_`: write `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them
[jobs.callbacks] secret = 'whsec_aGlkZGVu'
2:10: `jobs.callbacks.secret`: a secret of 6 bytes: write `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them
[jobs.callbacks] hosts = ['https://example.com']
2:9: `jobs.callbacks.hosts`: `https://example.com` is no host: write its name alone, as "example.com", "*.example.com" or "203.0.113.7", and one with other letters than a to z as DNS has it, "xn--…"
[jobs.callbacks] hosts = ['example.com']
2:9: `jobs.callbacks.hosts`: whoever is told of a job must be able to tell that it was this host: set `secret` in [jobs.callbacks] to `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them
"#;

#[test]
fn what_is_wrong_is_named_without_secrets() {
    for (file, fault) in pairs(FAULTS) {
        let file = file.replacen("] ", "]\n", 1);
        check(&file, &[], &format!("bulkhead.toml:{fault}"));
    }
}

#[test]
fn payloads_follow_the_store() {
    let shared = "store=Postgres(postgres://db/jobs); payloads=Database";
    let store = ("BULKHEAD_JOBS_STORE", "postgres://db/jobs");
    check("[jobs]\nstore = 'postgres://db/jobs'", &[], shared);
    check("[jobs]\npayloads = 'database'", &[store], shared);
    check("[jobs]\npayloads = 'database'", &[], "payloads=Database");
    check("[jobs]\nstore = 'sqlite'", &[], "");
}

#[test]
fn hosts_that_share_a_store_need_payloads_that_all_can_reach() {
    let fault = "\"files\" are on one machine, and the hosts that share a PostgreSQL store may be on several: write \
                 \"database\", \"s3://bucket/prefix\", or the absolute path of a folder that all of them share";
    let file = "[jobs]\nstore = 'postgres://db/jobs'\npayloads = 'files'";
    check(
        file,
        &[],
        &format!("bulkhead.toml:3:12: `jobs.payloads`: {fault}"),
    );
    check(
        "[jobs]\nstore = 'postgres://db/jobs'",
        &[("BULKHEAD_JOBS_PAYLOADS", "files")],
        &format!("`BULKHEAD_JOBS_PAYLOADS`: {fault}"),
    );
}

#[test]
fn keys_to_a_bucket_are_read_only_for_one() {
    let variables = [
        ("AWS_REGION", "eu"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWSX", "no"),
    ];
    check("", &variables, "");
    check(
        "[jobs]\npayloads = 's3://bucket/a/b'",
        &variables,
        r#"payloads=S3("s3://bucket/a/b"); s3={"AWS_REGION": "eu", "AWS_SECRET_ACCESS_KEY": "hidden"}"#,
    );
}

#[test]
fn a_list_of_hosts_in_a_variable() {
    let text = format!(
        "whsec_{}",
        base64_simd::STANDARD.encode_to_string([255; 31])
    );
    let variables = [
        ("BULKHEAD_JOBS_CALLBACKS_HOSTS", "a.example, [::1]"),
        ("BULKHEAD_JOBS_CALLBACKS_SECRET", text.as_str()),
        ("BULKHEAD_JOBS_CALLBACKS_INTERNAL", "true"),
        ("BULKHEAD_JOBS_RETENTION_PAYLOADS", "1s"),
        ("BULKHEAD_JOBS_ATTEMPTS", "7"),
    ];
    let secret = vec![255; 31];
    check(
        "",
        &variables,
        &format!(
            "unused=1s; attempts=7; hosts=[HostPattern(Name(\"a.example\")), HostPattern(Address(::1))]; \
             secret=Some({secret:?}); internal=true"
        ),
    );
}

#[test]
fn patterns_mean_hosts() {
    for (pattern, host, expected) in [
        ("example.com", "example.com", true),
        ("Example.Com", "eXample.com", true),
        ("example.com", "a.example.com", false),
        ("example.com", "example.com.evil.org", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.B.Example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "evilexample.com", false),
        ("203.0.113.7", "203.0.113.7", true),
        ("203.0.113.7", "203.0.113.70", false),
        ("[2001:db8::1]", "2001:DB8:0::1", true),
    ] {
        let parsed = HostPattern::try_from(pattern.to_owned()).unwrap();
        assert_eq!(parsed.matches(host), expected, "{pattern} {host}");
    }
    for bad in [
        "", "*", "*.", "a.*.b", "a b", "a:80", "user@a", "a..b", "a.", "127.1", "0x7f.1", "é.fr",
        "a/b",
    ] {
        HostPattern::try_from(bad.to_owned()).expect_err(bad);
    }
}

#[test]
fn a_password_is_never_shown() {
    for (url, shown) in [
        ("postgres://db/jobs", "postgres://db/jobs"),
        ("postgresql://me@db/jobs", "postgresql://me@db/jobs"),
        (
            "postgres://me:hidden@db:5432/jobs",
            "postgres://me:***@db:5432/jobs",
        ),
        ("postgres://me:hi:dden@db/jobs", "postgres://me:***@db/jobs"),
        (
            "postgres://me@db/jobs?password=hidden",
            "postgres://me@db/jobs?…",
        ),
        (
            "postgres://me:hidden@%2Frun%2Fpostgresql/jobs",
            "postgres://me:***@%2Frun%2Fpostgresql/jobs",
        ),
    ] {
        let parsed = PostgresUrl::parse(url.to_owned()).unwrap();
        assert_eq!(parsed.as_str(), url);
        assert_eq!(parsed.to_string(), shown);
        assert_eq!(format!("{parsed:?}"), shown);
    }
}

#[test]
fn settings_are_shown_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = "[jobs]\nstore = 'postgres://me:hidden@db/jobs'\npayloads = 's3://bucket'\n[jobs.callbacks]\n\
                secret = 'whsec_aGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVu'";
    fs::write(folder.path().join("bulkhead.toml"), file).unwrap();
    let sources = Sources {
        folder: folder.path().to_owned(),
        environment: [("HOME", "/h"), ("AWS_SECRET_ACCESS_KEY", "hidden")]
            .into_iter()
            .collect(),
        ..Sources::default()
    };
    let config = read(&sources).unwrap();
    assert_eq!(config.jobs.s3["AWS_SECRET_ACCESS_KEY"], "hidden");
    assert!(config.jobs.callbacks.secret.is_some());
    for shown in [format!("{config:?}"), format!("{sources:?}")] {
        // As it is, in base64, and byte by byte.
        for secret in ["hidden", "aGlkZGVu", "104, 105"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn a_report_shows_no_secret() {
    for file in [
        "[jobs]\nstore = 'postgres://me:hidden@'",
        "[jobs]\nstore = 'postgres://me:hidden@db'\nzz = 1",
        "[jobs]\nstore = postgres://me:hidden@db",
        "[jobs.callbacks]\nsecret = 'hidden'",
        "[jobs.callbacks]\nsecret = 'whsec_hidden'\n[",
        "[jobs.callbacks]\nsecret = whsec_hidden",
        "[jobs]\nsecret = '''\nhidden\n'''",
        "# 'whsec_hidden'\n[jobs]\nlease = 5",
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bulkhead.toml"), file).unwrap();
        let sources = Sources {
            folder: folder.path().to_owned(),
            environment: [("HOME", "/h")].into_iter().collect(),
            ..Sources::default()
        };
        let error = read(&sources).unwrap_err();
        let told = format!("{}\n{}\n{error:?}", error.one_line(), report(&error));
        assert!(!told.contains("hidden"), "{told}");
        assert!(told.contains("bulkhead.toml:"), "{told}");
    }
}
