//! The daemon under a service manager: what it says on the socket of sd_notify(3), and the unit that starts it.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bulkhead_tests::cli;
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::{fixture, workspace};
use bulkhead_tests::folder::Folder;
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_manager_is_told_of_a_whole_life() {
    let manager = Manager::new();
    let folder = Folder::of(&fixture("fixture-tiny"));
    let mut daemon = Daemon::start_with(&folder, "", &[("NOTIFY_SOCKET", &manager.path())]);
    let ready = manager.next();
    assert!(
        ready.starts_with("READY=1\nSTATUS=plugins: 1 served"),
        "{ready}"
    );

    daemon.process().signal(Signal::HUP);
    let reloading = manager.next();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(reloading.contains("\nSTATUS="), "{reloading}");
    assert!(manager.next().starts_with("READY=1\n"));

    daemon.terminate();
    let stopping = manager.next();
    assert!(
        stopping.starts_with("STOPPING=1\nSTATUS=stopping"),
        "{stopping}"
    );
    assert_eq!(daemon.exit_code(), Some(0));
    assert_eq!(manager.rest(), Vec::<String>::new());
}

/// The word comes while the host lives, and not from one whose threads are all held up.
#[test]
fn a_watchdog_is_fed_by_what_serves_the_calls() {
    let manager = Manager::new();
    let variables = [
        ("NOTIFY_SOCKET", manager.path()),
        ("WATCHDOG_USEC", "600000".to_owned()),
    ];
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let daemon = Daemon::start_with(&Folder::new(), "", &variables);
    let beats = (0..20)
        .filter(|_| manager.next().starts_with("WATCHDOG=1"))
        .count();
    assert!(beats >= 15, "{beats} of 20");
    daemon.process().stop();
    // What was on its way is not counted.
    manager.rest();
    thread::sleep(Duration::from_millis(700));
    assert_eq!(manager.rest(), Vec::<String>::new());
    daemon.process().signal(Signal::CONT);
    while !manager.next().starts_with("WATCHDOG=1") {}
}

#[test]
fn without_a_manager_nothing_is_said() {
    let gone = [
        ("NOTIFY_SOCKET", "/nowhere/at/all"),
        ("WATCHDOG_USEC", "1000000"),
    ];
    let daemon = Daemon::start_with(&Folder::new(), "", &gone);
    assert_eq!(daemon.get("/readyz").status, 200);
    let log = daemon.log();
    assert!(log.contains("the service manager cannot be told"), "{log}");
    let daemon = Daemon::start(&Folder::new(), "");
    assert!(
        !daemon.log().contains("service manager"),
        "{}",
        daemon.log()
    );
}

#[test]
fn the_unit_is_one() {
    let unit = workspace().join("host/packaging/bulkhead.service");
    let Ok(verified) = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .output()
    else {
        eprintln!("SKIPPED: systemd-analyze is not installed: the unit is not verified");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    // The package is not installed here.
    let is_absent =
        |line: &&str| line.contains("is not executable") || line.contains("man bulkhead");
    let wrong: Vec<_> = said
        .lines()
        .filter(|line| line.contains("bulkhead"))
        .filter(|line| !is_absent(line))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// With the rights that the unit leaves it, and no others, it serves and its workers have users of their own.
#[test]
fn the_rights_of_the_unit_are_enough() {
    let unit =
        std::fs::read_to_string(workspace().join("host/packaging/bulkhead.service")).unwrap();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let rights = line.unwrap().split(' ').map(|right| {
        let right = right.strip_prefix("CAP_").unwrap();
        format!(",+{}", right.to_lowercase())
    });
    let rights = format!("-all{}", rights.collect::<String>());
    let starter = [
        "setpriv",
        "--no-new-privs",
        "--bounding-set",
        &rights,
        "--inh-caps=-all",
    ];
    let can = Command::new(starter[0])
        .args(&starter[1..])
        .args(["sh", "-c", "[ $(id -u) = 0 ]"])
        .status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: only root can give up rights of root: the unit's are not tried");
        return;
    }
    let folder = Folder::of(&fixture("fixture-tiny"));
    let daemon = Daemon::start_behind(&folder, "workers.sandbox = 'required'", &starter);
    let answer = daemon.call("tiny", &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let workers = daemon.process().children();
    let users: Vec<_> = workers
        .iter()
        .filter_map(|worker| worker.field("Uid"))
        .collect();
    assert!(users.iter().any(|uid| !uid.starts_with("0\t")), "{users:?}");
}

/// The client's side: a stand-in answers over the socket.
#[test]
fn commands_reach_a_daemon_over_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 1024];
        while !asked.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..read]);
        }
        let body = json!({ "items": [], "next_cursor": null }).to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        String::from_utf8(asked).unwrap()
    });
    let at = format!("unix:{}", path.display());
    let listed = cli::run(&["plugins", "list", "--daemon", &at]);
    assert_eq!(
        (listed.exit, listed.stdout.as_str()),
        (0, "the daemon has no plugins\n"),
        "{}",
        listed.stderr
    );
    let asked = answering.join().unwrap().to_lowercase();
    assert!(asked.starts_with("get /v1/plugins http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nhost: localhost\r\n"), "{asked}");

    let gone = cli::run(&["plugins", "list", "--daemon", &at]);
    assert_eq!(gone.exit, 69, "{}", gone.stderr);
    assert!(
        gone.stderr.contains(&format!("no daemon at {at}: ")),
        "{}",
        gone.stderr
    );
    assert_eq!(
        cli::run(&["plugins", "list", "--daemon", "unix:b.sock"]).exit,
        2
    );
}

/// A socket that takes what the daemon says.
struct Manager {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(path(folder.path())).unwrap();
        let patience = Some(Duration::from_secs(30));
        socket.set_read_timeout(patience).unwrap();
        Self { folder, socket }
    }

    fn path(&self) -> String {
        path(self.folder.path())
    }

    /// The next that it says.
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// What it has said and nobody has read.
    fn rest(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let mut all = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        self.socket.set_nonblocking(false).unwrap();
        all
    }
}

fn path(folder: &Path) -> String {
    folder.join("notify").to_str().unwrap().to_owned()
}
