//! Who may use a daemon: through its doors, and with the command that makes tokens. (FAULTS HT-16, HT-17, JB-16)

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::{self, JoinHandle};

use bulkhead_tests::cli;
use bulkhead_tests::daemon::{Answer, Daemon};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::raw;
use bulkhead_tests::submit::steps_config;
use bulkhead_tests::wait;
use serde_json::Value;

/// Whoever comes over loopback needs a token too: tests come no other way.
const GUARDED: &str = "[access]\nloopback = 'token'\n";

/// A folder, and the tokens of the host that serves it.
struct Bench {
    folder: Folder,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: Folder::of(&fixture("fixture-steps")),
        }
    }

    fn state(&self) -> String {
        self.folder.beside("state").to_str().unwrap().to_owned()
    }

    fn tokens(&self) -> PathBuf {
        self.folder.beside("state").join("tokens.json")
    }

    fn start(&self) -> Daemon {
        // Ready without a token: `/readyz` is for everybody.
        Daemon::start(&self.folder, &steps_config(&self.folder, GUARDED))
    }

    fn token(&self, arguments: &[&str]) -> cli::Ended {
        let state = self.state();
        cli::run(&[&["token"], arguments, &["--state", &state]].concat())
    }

    fn create(&self, name: &str, role: &str) -> String {
        let ended = self.token(&["create", name, "--role", role]);
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
        let (line, rest) = ended.stdout.split_once('\n').unwrap();
        assert_eq!(rest, "", "it stands alone");
        assert!(!ended.stderr.contains(line), "it is printed once");
        line.to_owned()
    }
}

fn submit(daemon: &Daemon, token: &str, key: &str) -> Answer {
    let request = daemon.request_as(token, "POST", "/v1/jobs?plugin=steps");
    let headers = [("content-type", "image/x-any"), ("idempotency-key", key)];
    request.send(&headers, b"an image")
}

fn job(answer: &Answer) -> String {
    answer.body["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", answer.body))
        .to_owned()
}

fn get(daemon: &Daemon, token: &str, path: &str) -> Answer {
    daemon.request_as(token, "GET", path).send(&[], b"")
}

#[test]
fn ht_16_and_ht_17_who_has_no_token_gets_nowhere_and_no_log_floods() {
    let bench = Bench::new();
    let token = bench.create("me", "analyze");
    let daemon = bench.start();
    let nobody = daemon.get("/v1/plugins");
    assert!(
        nobody
            .brief()
            .starts_with("401 ValidationError unauthorized: a token is needed here")
    );
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    assert_eq!(daemon.get("/healthz").status, 200);
    let mut statuses = [0; 2];
    for number in 0..1000 {
        let guess = format!("bhk_{number:012}_{}", "A".repeat(43));
        match get(&daemon, &guess, "/v1/plugins") {
            answer if answer.status == 401 => statuses[0] += 1,
            answer => {
                assert!(
                    answer
                        .brief()
                        .starts_with("429 ValidationError rate_limited"),
                    "{}",
                    answer.brief()
                );
                assert!(answer.header("retry-after").is_some());
                statuses[1] += 1;
            }
        }
    }
    assert!(statuses[0] >= 10 && statuses[1] > 500, "{statuses:?}");
    assert_eq!(
        get(&daemon, &token, "/v1/plugins").status,
        200,
        "the right one passes"
    );
    let told = daemon.log().matches("a wrong token was shown").count();
    assert!((1..=3).contains(&told), "{told} lines");
    assert!(!daemon.log().contains(&token[17..]));
}

/// The interface is no secret; which plugins there are is.
#[test]
fn the_document_has_no_plugins_for_who_has_no_token() {
    let bench = Bench::new();
    let token = bench.create("me", "analyze");
    let daemon = bench.start();
    assert_eq!(get(&daemon, &token, "/v1/plugins/steps").status, 200);
    let (known, nobody) = (
        get(&daemon, &token, "/openapi.json"),
        daemon.get("/openapi.json"),
    );
    assert_eq!((known.status, nobody.status), (200, 200));
    assert_eq!(known.body["paths"], nobody.body["paths"]);
    let has =
        |answer: &Answer| answer.body["components"]["schemas"]["plugin.steps.Options"].is_object();
    assert!(has(&known));
    assert!(!has(&nobody) && !nobody.body.to_string().contains("steps"));
}

#[test]
fn tokens_come_and_go_while_a_daemon_runs() {
    let bench = Bench::new();
    let daemon = bench.start();
    assert!(
        daemon
            .log()
            .contains("everybody needs a token and there is none yet")
    );
    let is = |token: &str, status: u16| {
        wait::until(&format!("a token to be answered with {status}"), || {
            (get(&daemon, token, "/v1/access").status == status).then_some(())
        });
    };
    let first = bench.create("first", "operate");
    is(&first, 200);
    let whole = fs::read(bench.tokens()).unwrap();
    fs::write(bench.tokens(), "no tokens at all").unwrap();
    let second = format!("bhk_{}_{}", "0".repeat(12), "A".repeat(43));
    wait::until("the broken file to be told", || {
        let _ = get(&daemon, &second, "/v1/access");
        assert_eq!(
            get(&daemon, &first, "/v1/access").status,
            200,
            "it still holds"
        );
        daemon
            .log()
            .contains("those before still hold")
            .then_some(())
    });
    let broken = bench.token(&["list"]);
    assert_eq!(broken.exit, 78, "{}", broken.stderr);
    fs::write(bench.tokens(), whole).unwrap();
    assert_eq!(bench.token(&["revoke", "first"]).exit, 0);
    is(&first, 401);
}

/// What comes of a stream until the daemon ends it.
fn stream(daemon: &Daemon, token: &str, path: &str) -> JoinHandle<String> {
    let head =
        format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut client = raw::send(daemon.address(), head);
    let mut status = [0; 12];
    client.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.0 200", "{path}");
    thread::spawn(move || String::from_utf8(raw::read(client)).unwrap())
}

#[test]
fn streams_end_with_the_token_that_opened_them() {
    let bench = Bench::new();
    let [own, gone, kept] = ["own", "gone", "kept"].map(|it| bench.create(it, "operate"));
    let daemon = bench.start();
    let options = "%7B%22sleep_ms%22:20000%7D";
    let path = format!("/v1/jobs?plugin=steps&options={options}");
    let request = daemon.request_as(&own, "POST", &path);
    let submitted = request.send(&[("content-type", "image/x-any")], b"an image");
    let path = format!("/v1/jobs/{}/events", job(&submitted));
    let of_job = stream(&daemon, &own, &path);
    let of_all = stream(&daemon, &gone, "/v1/events");
    let still = stream(&daemon, &kept, "/v1/events");
    for name in ["own", "gone"] {
        assert_eq!(bench.token(&["revoke", name]).exit, 0);
    }
    // Nobody asks for anything meanwhile: the streams themselves find out.
    for ended in [of_job, of_all] {
        assert!(ended.join().unwrap().contains("retry: "));
    }
    assert_eq!(get(&daemon, &gone, "/v1/events").status, 401);
    assert!(!still.is_finished(), "its token holds");
    assert_eq!(daemon.log().matches("a stream was ended").count(), 2);
}

#[test]
fn jb_16_nobody_sees_the_jobs_of_others_but_operators() {
    let bench = Bench::new();
    let [alice, bob] = ["alice", "bob"].map(|name| bench.create(name, "analyze"));
    let operator = bench.create("night shift", "operate");
    let daemon = bench.start();
    let hers = job(&submit(&daemon, &alice, "same"));
    let his = submit(&daemon, &bob, "same");
    assert_eq!(his.status, 202, "a key is its owner's: {}", his.body);
    let his = job(&his);
    assert_ne!(hers, his);
    assert_eq!(job(&submit(&daemon, &alice, "same")), hers);
    for path in ["", "?wait=1", "/result", "/events", "/attachments/0"] {
        let answer = get(&daemon, &bob, &format!("/v1/jobs/{hers}{path}"));
        let expected = format!("404 ValidationError not_found: no job `{hers}`");
        assert_eq!(answer.brief(), expected, "{path}");
    }
    for (verb, path) in [("DELETE", ""), ("POST", "/retry")] {
        let path = format!("/v1/jobs/{hers}{path}");
        let answer = daemon.request_as(&bob, verb, &path).send(&[], b"");
        assert_eq!(answer.status, 404, "{verb} {path}");
    }
    let listed = |token: &str, kind: &str| {
        let answer = get(&daemon, token, &format!("/v1/jobs?kind={kind}"));
        let items = answer.body["items"].as_array().unwrap().clone();
        let mut ids: Vec<_> = items
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(listed(&alice, "job"), *std::slice::from_ref(&hers));
    assert_eq!(listed(&bob, "job"), *std::slice::from_ref(&his));
    assert_eq!(listed(&operator, "job"), [hers.clone(), his.clone()]);
    assert_eq!(get(&daemon, &alice, "/v1/events").status, 403);
    assert_eq!(
        get(&daemon, &operator, &format!("/v1/jobs/{hers}?wait=30")).status,
        200
    );

    // A synchronous analysis is a job of its owner too, and stays it in the store.
    let request = daemon.request_as(&alice, "POST", "/v1/analyze?plugin=steps");
    let answer = request.send(&[("content-type", "image/x-any")], b"an image");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let analysis = answer.header("x-job-id").unwrap().to_owned();
    let path = format!("/v1/jobs/{analysis}");
    assert_eq!(
        [&alice, &bob, &operator].map(|it| get(&daemon, it, &path).status),
        [200, 404, 200]
    );
    wait::until("the analysis to be in the store", || {
        (listed(&alice, "analysis") == [analysis.clone()]).then_some(())
    });
    assert!(listed(&bob, "analysis").is_empty());
}

#[test]
fn a_host_that_strangers_could_enter_does_not_start() {
    let bench = Bench::new();
    let state = bench.state();
    let plugins = bench.folder.path().to_str().unwrap().to_owned();
    let serve = |listen: &str| {
        cli::run(&[
            "serve",
            "--listen",
            listen,
            "--plugins",
            &plugins,
            "--state",
            &state,
        ])
    };
    let refused = serve("0.0.0.0:0");
    assert_eq!(
        (refused.exit, refused.stdout.as_str()),
        (78, ""),
        "{}",
        refused.stderr
    );
    let mends = format!("`bulkhead token create NAME --role admin --state {state}`");
    assert!(refused.stderr.contains(&mends), "{}", refused.stderr);

    let token = bench.create("first", "admin");
    let whole = fs::read(bench.tokens()).unwrap();
    for listen in ["0.0.0.0:0", "127.0.0.1:0"] {
        fs::write(bench.tokens(), "{}").unwrap();
        let damaged = serve(listen);
        assert_eq!(
            (damaged.exit, damaged.stdout.as_str()),
            (78, ""),
            "{}",
            damaged.stderr
        );
        assert!(
            damaged
                .stderr
                .contains("are damaged: missing field `version`"),
            "{}",
            damaged.stderr
        );
    }
    fs::write(bench.tokens(), whole).unwrap();

    // With a token it does; who comes from this machine may be a proxy, and needs one as everybody does.
    let open = Daemon::start_at(&bench.folder, "0.0.0.0:0", "");
    assert_eq!(open.get("/v1/plugins").status, 401);
    assert_eq!(get(&open, &token, "/v1/plugins").status, 200);
    assert_eq!(get(&open, &token, "/v1/access").body["needs_token"], true);
    drop(open);
    // Where it is said that it is meant, tokens that there are still count.
    let insecure = Daemon::start_at(&bench.folder, "0.0.0.0:0", "[server]\ninsecure = true\n");
    assert_eq!(insecure.get("/v1/plugins").status, 401);
    drop(insecure);
    assert_eq!(bench.token(&["revoke", "first"]).exit, 0);
    let insecure = Daemon::start_at(&bench.folder, "0.0.0.0:0", "[server]\ninsecure = true\n");
    assert_eq!(insecure.get("/v1/access").body["needs_token"], false);
}

#[test]
fn commands_show_a_token() {
    let bench = Bench::new();
    let token = bench.create("ops", "operate");
    let weak = bench.create("weak", "analyze");
    let daemon = bench.start();
    let at = format!("http://{}", daemon.address());
    let file = bench.folder.beside("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    let file = file.to_str().unwrap();
    let disable = ["plugins", "disable", "steps", "--daemon", &at];

    let nobody = cli::run(&disable);
    assert_eq!(nobody.exit, 1);
    assert!(
        nobody.stderr.contains("BULKHEAD_TOKEN") && nobody.stderr.contains("--token-file"),
        "{}",
        nobody.stderr
    );
    let by_file = cli::run(&[&disable[..], &["--token-file", file]].concat());
    assert_eq!(by_file.exit, 0, "{}", by_file.stderr);
    let listed = cli::run(&["plugins", "--daemon", &at, "--token-file", file]);
    assert_eq!(listed.exit, 0, "{}", listed.stderr);
    let jobs = cli::run_with(
        &["jobs", "list", "--daemon", &at],
        &[("BULKHEAD_TOKEN", &token)],
    );
    assert_eq!(jobs.exit, 0, "{}", jobs.stderr);
    let too_weak = cli::run_with(&disable, &[("BULKHEAD_TOKEN", &weak)]);
    assert_eq!(too_weak.exit, 1);
    let says =
        "it needs the role `operate`, and the token `weak` has the role `analyze` (forbidden)";
    assert!(too_weak.stderr.contains(says), "{}", too_weak.stderr);
    for bad in ["", "\u{1}"] {
        fs::write(file, bad).unwrap();
        let ended = cli::run(&[&disable[..], &["--token-file", file]].concat());
        assert_eq!(ended.exit, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains("holds no token"), "{}", ended.stderr);
    }
    let gone = cli::run(&[&disable[..], &["--token-file", "/nowhere"]].concat());
    assert_eq!(gone.exit, 2, "{}", gone.stderr);
}

#[test]
fn a_token_that_nobody_could_read_is_taken_back() {
    let bench = Bench::new();
    let create = |stdout: Stdio, format: &[&str]| {
        let arguments = ["token", "create", "ci", "--role", "admin", "--state"];
        let mut command = cli::command();
        command.args(arguments).arg(bench.state()).args(format);
        let ended = command.stdout(stdout).output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(74), "{stderr}");
        assert!(stderr.contains("could not be printed"), "{stderr}");
        let listed = bench.token(&["list", "--json"]).stdout;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed["items"], serde_json::json!([]));
    };
    for format in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        create(writer.into(), format);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        create(full.into(), format);
    }
}

#[test]
fn tokens_on_the_command_line() {
    let bench = Bench::new();
    let none = bench.token(&["list"]);
    assert_eq!((none.exit, none.stdout.as_str()), (0, ""));
    let made = bench.token(&[
        "create",
        "ci",
        "--role",
        "analyze",
        "--expires",
        "90d",
        "--rate",
        "5",
        "--json",
    ]);
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    assert_eq!((&made["name"], &made["rate"]), (&"ci".into(), &5.into()));
    assert!(made["expires_at"].as_str().unwrap() > made["created_at"].as_str().unwrap());

    let listed = bench.token(&["list", "--json"]);
    assert!(!listed.stdout.contains(&token[17..]), "{}", listed.stdout);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["items"][0]["id"], made["id"]);
    let table = bench.token(&["list"]).stdout;
    assert!(
        table.contains("ci") && table.contains("analyze") && table.contains("5/s"),
        "{table}"
    );

    let check = |arguments: &[&str], exit: i32, says: &str| {
        let ended = bench.token(arguments);
        assert_eq!(ended.exit, exit, "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(says),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "", "{arguments:?}");
    };
    check(
        &["create", "ci", "--role", "admin"],
        1,
        "there is a token `ci` already",
    );
    check(
        &["create", "x", "--role", "root"],
        2,
        "`root` is no role: there are analyze, operate, admin",
    );
    check(&["create", "x"], 2, "--role");
    check(
        &["create", " ", "--role", "admin"],
        2,
        "is no name for a token",
    );
    check(
        &["create", "x", "--role", "admin", "--expires", "soon"],
        2,
        "soon",
    );
    check(
        &["create", "x", "--role", "admin", "--expires", "0s"],
        2,
        "cannot expire after",
    );
    check(&["revoke", "y"], 1, "there is no token `y`");
    check(&["revoke", made["id"].as_str().unwrap()], 0, "is revoked");
    check(&["revoke", "ci"], 1, "there is no token `ci`");
}
