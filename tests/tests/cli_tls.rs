//! Commands that talk to a daemon that speaks TLS: whom they believe, and what they say where they do not.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_tests::cli::{self, Ended};
use bulkhead_tests::daemon::{Daemon, IMAGE};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use rcgen::{CertificateParams, CertifiedKey, IsCa, KeyPair, generate_simple_self_signed};

const TINY: &str = "tiny";

/// A daemon and its certificate.
struct Scene {
    daemon: Daemon,
    folder: Folder,
    certificate: PathBuf,
}

impl Scene {
    /// With a certificate for these names that nobody vouches for.
    fn new(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Self::with(&generate_simple_self_signed(names).unwrap())
    }

    fn with(pair: &CertifiedKey<KeyPair>) -> Self {
        let folder = Folder::of(&fixture("fixture-tiny"));
        let (certificate, key) = (folder.beside("host.pem"), folder.beside("host.key"));
        fs::write(&certificate, pair.cert.pem()).unwrap();
        fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        let [shown, key] = [&certificate, &key].map(|path| path.display());
        let config = format!("server.tls = {{ certificate = '{shown}', key = '{key}' }}\n");
        let daemon = Daemon::start(&folder, &config);
        Self {
            daemon,
            folder,
            certificate,
        }
    }

    /// Where it is, by this scheme and host.
    fn at(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}", self.daemon.address().port())
    }

    fn list(&self, scheme: &str, host: &str, more: &[&str]) -> Ended {
        let at = self.at(scheme, host);
        cli::run(&[&["plugins", "list", "--daemon", &at][..], more].concat())
    }
}

#[track_caller]
fn refused(ended: &Ended, exit: i32, parts: &[&str]) {
    assert_eq!(ended.exit, exit, "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_daemon_is_believed_whose_certificate_is_vouched_for() {
    let scene = Scene::new(&["localhost"]);
    let ca = text(&scene.certificate);
    let listed = scene.list("https", "localhost", &["--ca-file", ca]);
    assert_eq!(listed.exit, 0, "{}", listed.stderr);
    assert!(listed.stdout.contains(TINY), "{}", listed.stdout);

    let at = scene.at("https", "localhost");
    let by_variable = cli::run_with(
        &["plugins", "show", TINY, "--daemon", &at],
        &[("BULKHEAD_CA_FILE", ca)],
    );
    assert_eq!(by_variable.exit, 0, "{}", by_variable.stderr);
    let picture = scene.folder.beside("picture.any");
    fs::write(&picture, IMAGE).unwrap();
    let types = ["--mime-type", "image/x-any"];
    let to = ["--daemon", &at, "--ca-file", ca];
    let job = ["jobs", "submit", TINY, text(&picture), "--wait"];
    let waited = cli::run(&[&job[..], &["--type", types[1]], &to].concat());
    assert_eq!(waited.exit, 0, "{}", waited.stderr);
    let bench = [
        "bench",
        TINY,
        text(&picture),
        "--clients",
        "2",
        "--time",
        "100ms",
    ];
    let measured = cli::run(&[&bench[..], &types, &to, &["--json"]].concat());
    assert_eq!(measured.exit, 0, "{}", measured.stderr);
    assert!(
        !measured.stdout.contains("\"calls\":0"),
        "{}",
        measured.stdout
    );
}

/// Where the configuration is at hand, so is the certificate.
#[test]
fn the_configuration_says_that_tls_is_spoken_and_with_which_certificate() {
    let scene = Scene::new(&["localhost", "127.0.0.1"]);
    let file = scene.folder.beside("client.toml");
    let shown = text(&scene.certificate);
    let listen = scene.daemon.address();
    let config = format!(
        "server.listen = '{listen}'\nserver.tls = {{ certificate = '{shown}', key = '/nowhere' }}\n"
    );
    fs::write(&file, config).unwrap();
    let listed = cli::run(&["plugins", "list", "--config", text(&file)]);
    assert_eq!(listed.exit, 0, "{}", listed.stderr);
    assert!(listed.stdout.contains(TINY), "{}", listed.stdout);
}

#[test]
fn whom_nobody_vouches_for_is_told_nothing() {
    let scene = Scene::new(&["host.example", "10.1.2.3"]);
    let ca = text(&scene.certificate);
    let unknown = scene.list("https", "127.0.0.1", &[]);
    refused(&unknown, 69, &["certificate is not trusted", "--ca-file"]);
    let other = scene.list("https", "localhost", &["--ca-file", ca]);
    let names = "is for host.example, 10.1.2.3, not for localhost";
    refused(&other, 69, &[names, "--daemon"]);

    let stale = |spoil: &dyn Fn(&mut CertificateParams), parts: &[&str]| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        spoil(&mut params);
        let signing_key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        let scene = Scene::with(&CertifiedKey { cert, signing_key });
        let ca = text(&scene.certificate);
        refused(
            &scene.list("https", "localhost", &["--ca-file", ca]),
            69,
            parts,
        );
    };
    let past = rcgen::date_time_ymd(2001, 1, 1);
    stale(&|it| it.not_after = past, &["has expired", "clock"]);
    let to_come = rcgen::date_time_ymd(3001, 1, 1);
    stale(&|it| it.not_before = to_come, &["not valid yet", "clock"]);
    let issuer = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    stale(&|it| it.is_ca = issuer, &["basicConstraints=CA:FALSE"]);
}

#[test]
fn who_speaks_otherwise_is_told_how_it_is_done() {
    let scene = Scene::new(&["localhost"]);
    let ca = text(&scene.certificate);
    let plain = scene.list("http", "localhost", &[]);
    refused(&plain, 1, &["this port speaks TLS", "use https://"]);

    let folder = Folder::new();
    let daemon = Daemon::start(&folder, "");
    let at = format!("https://localhost:{}", daemon.address().port());
    let tls = cli::run(&["plugins", "list", "--daemon", &at, "--ca-file", ca]);
    let meant = at.replace("https", "http");
    refused(&tls, 69, &["no TLS is spoken", &meant]);
}

#[test]
fn a_file_that_vouches_for_nobody_is_told_before_anything_is_sent() {
    let folder = Folder::new();
    let file = folder.beside("ca.pem");
    let list = |file: &str| {
        let at = ["--daemon", "https://localhost:1"];
        cli::run(&[&["plugins", "list", "--ca-file", file][..], &at].concat())
    };
    refused(
        &list("/nowhere/ca.pem"),
        2,
        &["/nowhere/ca.pem", "No such file"],
    );
    fs::write(&file, "no certificate").unwrap();
    refused(
        &list(text(&file)),
        2,
        &["holds no certificate", "-----BEGIN CERTIFICATE-----"],
    );
}
