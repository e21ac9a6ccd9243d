//! `bulkhead plugins` as the remote control of a daemon: what it prints, and how it ends.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use bulkhead_tests::cli::{self, Ended};
use bulkhead_tests::daemon::{Daemon, IMAGE};
use bulkhead_tests::fixtures::{bulkhead, fixture};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::process::Process;
use bulkhead_tests::wait;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::process::Signal;
use serde_json::{Value, json};

const TINY: &str = "tiny";

#[test]
fn a_plugin_is_listed_shown_disabled_and_enabled() {
    let daemon = daemon();
    let at = daemon.address().to_string();
    let generation = daemon.plugin(TINY)["generation"]
        .as_str()
        .unwrap()
        .to_owned();
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("generation {generation} ({version})");
    daemon.post_raw(TINY, "image/x-any", IMAGE, &json!({}));

    for list in [&["--daemon", &at][..], &["list", "--daemon", &at]] {
        check(
            list,
            0,
            &[TINY, version, &generation, "process", "READY"],
            "",
        );
    }
    let libraries = ["broken.so: ", "REJECTED"];
    check(
        &["list", "--daemon", &format!("http://{at}/")],
        0,
        &libraries,
        "",
    );
    check(
        &["show", TINY, "--daemon", &at],
        0,
        &["lifecycle", "READY", &generation],
        "",
    );

    let disabled = format!("{TINY} is disabled: its calls are refused until it is enabled\n");
    is(&["disable", TINY, "--daemon", &at], 0, &disabled);
    assert_eq!(daemon.plugin(TINY)["lifecycle"], "DISABLED");
    is(
        &["enable", TINY, "--daemon", &at],
        0,
        &format!("{TINY} serves {build} again\n"),
    );
    assert_eq!(daemon.plugin(TINY)["lifecycle"], "READY");

    let shown = plugins(&["show", TINY, "--json", "--daemon", &at]);
    let document: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(document["generation"], generation.as_str());
    let listed = plugins(&["list", "--json", "--daemon", &at]);
    let document: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(document["items"].as_array().unwrap().len(), 2);
}

#[test]
fn what_the_daemon_refuses_is_told() {
    let daemon = daemon();
    let at = daemon.address().to_string();
    for command in ["show", "rollback", "reload", "enable", "disable"] {
        let ended = plugins(&[command, "gone", "--daemon", &at]);
        assert_eq!(
            (ended.exit, &*ended.stdout),
            (1, ""),
            "{command}: {}",
            ended.stderr
        );
        let said = ended.stderr.lines().collect::<Vec<_>>();
        assert_eq!(said.len(), 1, "{command}: {said:?}");
        assert!(said[0].starts_with("bulkhead: no "), "{command}: {said:?}");
        assert!(said[0].ends_with(')'), "{command}: {said:?}");
    }
    let expected =
        format!("bulkhead: no plugin `gone`: did you mean `{TINY}`? (plugin_not_found)\n");
    assert_eq!(
        plugins(&["enable", "gone", "--daemon", &at]).stderr,
        expected
    );
    let ended = plugins(&["enable", "gone", "--json", "--daemon", &at]);
    let envelope: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(envelope["error"]["details"]["code"], "plugin_not_found");
    assert_eq!((ended.exit, ended.stderr), (1, expected));
}

#[test]
fn the_configuration_says_where_the_daemon_is() {
    let daemon = daemon();
    let folder = Folder::new();
    let config = |listen: &str| {
        let file = folder.beside("client.toml");
        std::fs::write(&file, format!("[server]\nlisten = '{listen}'")).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let file = config(&daemon.address().to_string());
    for list in [&["--daemon"][..], &["list"], &["list", "--daemon"]] {
        let list = [list, &["--config", &file]].concat();
        check(&list, 0, &[TINY], "");
    }
    check(&["show", TINY, "--config", &file], 0, &[TINY], "");
    let file = config("127.0.0.1:0");
    let open =
        "`server.listen` is 127.0.0.1:0, which leaves the port open: name the daemon with --daemon";
    check(&["list", "--config", &file], 69, &[], open);
}

#[test]
fn nobody_listens() {
    let closed = closed();
    let expected = format!("no daemon at http://{closed}: ");
    let at = closed.to_string();
    for command in [
        &["--daemon", &at][..],
        &["rollback", TINY, "--daemon", &at],
        &["show", TINY, "--json", "--daemon", &at],
    ] {
        check(command, 69, &[], &expected);
        check(command, 69, &[], "`bulkhead serve`");
    }
}

#[test]
fn somebody_else_listens() {
    for (said, expected) in [
        ("SSH-2.0-OpenSSH_9.9\r\n", "it does not speak HTTP"),
        ("", "it hung up without an answer"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
            "it answered 200 OK with what is no JSON",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
            "it answered in a form of its own",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            "it answered 404 Not Found in a form of its own",
        ),
        (
            "HTTP/1.1 301 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
            "it answered 301 Moved Permanently with what is no JSON",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
            "it hung up without an answer",
        ),
    ] {
        for command in [&["list"][..], &["enable", TINY], &["list", "--json"]] {
            let (address, stranger) = stranger(said);
            let at = address.to_string();
            let command = [command, &["--daemon", &at]].concat();
            let expected = format!("what listens at http://{at} is no bulkhead daemon: {expected}");
            check(&command, 69, &[], &expected);
            stranger.join().unwrap();
        }
    }
}

#[test]
fn a_command_line_that_asks_for_no_daemon_is_wrong() {
    for command in [
        &["rollback"][..],
        &["rollback", "Not A Name"],
        &["list", "--daemon", "ftp://localhost:1"],
        &["list", "--daemon", "localhost"],
        &["--daemon", "localhost:1", "--plugins", "."],
        &["--plugins", ".", "show", TINY],
        &["unload", TINY],
    ] {
        check(command, 2, &[], "");
    }
}

#[test]
fn a_hangup_has_the_settings_read_again() {
    let folder = folder();
    let mut daemon = Daemon::start(&folder, "[log]\nlevel = 'warn'");
    let write = |config: &str| {
        std::fs::write(folder.beside("bulkhead.toml"), config).unwrap();
        daemon.process().signal(Signal::HUP);
    };
    let told = |what: &str| wait::until(what, || daemon.log().contains(what).then_some(()));
    let at = daemon.address().to_string();
    plugins(&["disable", TINY, "--daemon", &at]);
    plugins(&["enable", TINY, "--daemon", &at]);

    write("[log]\nlevel = 'info'\nformat = 'text'\n[server]\ndrain = '1s'");
    told("configuration_applied");
    told("server.drain");
    told("log.format");
    assert!(!daemon.log().contains("a plugin was"), "{}", daemon.log());
    plugins(&["disable", TINY, "--daemon", &at]);
    told("a plugin was taken out of service");

    write("[log]\nlevel = 'inof'");
    told("configuration_rejected");
    told("`inof` is no level: did you mean `info`?");
    plugins(&["enable", TINY, "--daemon", &at]);
    told("a plugin was put back into service");

    daemon.terminate();
    assert_eq!(daemon.exit_code(), Some(0));
}

/// The settings come through a pipe, so that the test knows when the host reads them.
#[test]
fn a_hangup_while_the_host_starts_is_carried_out_later() {
    let folder = Folder::new();
    let pipe = folder.beside("settings");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let mut host = Host::start(&folder, &pipe);
    // Who reads its settings listens to signals.
    let mut settings = host.reads(&pipe);
    host.process().signal(Signal::HUP);
    writeln!(settings, "[log]\nlevel = 'off'").unwrap();
    drop(settings);
    let stdout = host.0.stdout.take().unwrap();
    told(&mut BufReader::new(stdout), "listening on ");

    // One that comes while they are read is not lost.
    let mut settings = host.reads(&pipe);
    host.process().signal(Signal::HUP);
    writeln!(settings, "[log]\nlevel = 'info'").unwrap();
    drop(settings);
    let mut stderr = BufReader::new(host.0.stderr.take().unwrap());
    told(&mut stderr, "configuration_applied");
    let mut settings = host.reads(&pipe);
    writeln!(settings, "[log]\nlevel = 'debug'").unwrap();
    drop(settings);
    told(&mut stderr, "configuration_applied");
    host.process().signal(Signal::TERM);
    let ended = wait::until("the host to end", || host.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

/// Reads lines until one has this in it.
fn told(stream: &mut impl BufRead, part: &str) {
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        let read = stream.read_line(&mut line).unwrap();
        assert_ne!(read, 0, "the host has ended before it said: {part}");
    }
}

/// A host that starts, ended with its drop.
struct Host(Child);

impl Host {
    fn start(folder: &Folder, config: &Path) -> Self {
        let mut command = Command::new(bulkhead());
        command
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--plugins"]);
        command
            .arg(folder.path())
            .arg("--state")
            .arg(folder.beside("state"));
        command.arg("--config").arg(config);
        let streams = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(streams.spawn().unwrap())
    }

    fn process(&self) -> Process {
        Process(i32::try_from(self.0.id()).unwrap())
    }

    /// The end of the pipe to write to, once the host reads from the other.
    fn reads(&mut self, pipe: &Path) -> File {
        wait::until("the host to read its settings", || {
            assert_eq!(self.0.try_wait().unwrap(), None, "the host has ended");
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
            let pipe = File::options().write(true).custom_flags(flags).open(pipe);
            pipe.ok()
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already; then both are no-ops.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon with one plugin, and a file that is none.
fn daemon() -> Daemon {
    Daemon::start(&folder(), "")
}

fn folder() -> Folder {
    let folder = Folder::of(&fixture("fixture-tiny"));
    folder.put("broken.so", b"no library");
    folder
}

fn plugins(arguments: &[&str]) -> Ended {
    cli::run(&[&["plugins"], arguments].concat())
}

/// Ends with this exit code, says all of this on stdout, and this among else on stderr.
#[track_caller]
fn check(arguments: &[&str], exit: i32, stdout: &[&str], stderr: &str) {
    let ended = plugins(arguments);
    assert_eq!(ended.exit, exit, "{arguments:?}: {ended:?}");
    assert_eq!(ended.stdout.is_empty(), stdout.is_empty(), "{ended:?}");
    assert_eq!(ended.stderr.is_empty(), exit == 0, "{ended:?}");
    for part in stdout {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(ended.stderr.contains(stderr), "{stderr}: {}", ended.stderr);
}

/// Ends with this exit code, and says this and nothing else.
#[track_caller]
fn is(arguments: &[&str], exit: i32, stdout: &str) {
    let ended = plugins(arguments);
    let said = (ended.exit, &*ended.stdout, &*ended.stderr);
    assert_eq!(said, (exit, stdout, ""), "{arguments:?}");
}

/// An address where nobody listens, as somebody just did.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Somebody who reads one request, says this whatever it was, and hangs up.
fn stranger(said: &'static str) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stranger = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        client.write_all(said.as_bytes()).unwrap();
    });
    (address, stranger)
}
