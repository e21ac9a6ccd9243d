//! Confinement is for good, so each scenario runs in a child of its own. A child of `fork` has one
//! thread, as `confine` wants it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

use rustix::process::{Resource, geteuid, getpid, getppid, getrlimit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform::{Attempt, Confinement, InForce, confine, prove};

mod grants;
mod library;
mod limits;
mod ties;

const UID: u32 = 61_184;
const MEMORY: u64 = 256 << 20;

fn confinement() -> Confinement {
    Confinement {
        sandbox: true,
        memory: MEMORY,
        open_files: 64,
        file_size: 1 << 20,
        tasks: 64,
        uid: geteuid().is_root().then_some(UID),
        network: false,
        read: Vec::new(),
        write: Vec::new(),
        env: BTreeMap::new(),
    }
}

/// Runs `scenario` in a child and hands its answer over.
fn in_child<T: Serialize + DeserializeOwned>(scenario: impl FnOnce() -> T) -> T {
    let (mut reader, mut writer) = io::pipe().unwrap();
    // SAFETY: the C library keeps its own locks whole over a fork, and what else the threads of the
    // test may hold the child does not touch.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", io::Error::last_os_error());
    if child == 0 {
        let answer = catch_unwind(AssertUnwindSafe(scenario));
        let written = answer
            .ok()
            .map(|it| writer.write_all(&serde_json::to_vec(&it).unwrap()));
        // SAFETY: it ends the child, without what the parent has registered for its own end.
        unsafe { libc::_exit(i32::from(!matches!(written, Some(Ok(()))))) };
    }
    drop(writer);
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).unwrap();
    let mut status = 0;
    // SAFETY: the address is that of a number which outlives the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child failed");
    serde_json::from_slice(&answer).unwrap()
}

/// Runs `scenario` confined, with what is in force.
fn confined<T: Serialize + DeserializeOwned>(
    confinement: &Confinement,
    scenario: impl FnOnce() -> T,
) -> (InForce, T) {
    let library = File::open("/dev/null").unwrap();
    in_child(|| (confine(confinement, library.as_fd()), scenario()))
}

fn parent() -> i32 {
    getppid()
        .expect("a test has a parent")
        .as_raw_nonzero()
        .get()
}

/// The names of the attempts that were possible.
fn possible(attempts: &[Attempt]) -> Vec<&str> {
    let possible = attempts.iter().filter(|it| !it.held);
    possible.map(|it| it.name.as_str()).collect()
}

#[test]
fn nothing_that_is_tried_is_possible() {
    let asked = confinement();
    let (in_force, attempts) = confined(&asked, || prove(&asked, parent()));
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}\n{in_force:#?}");
    assert_eq!(in_force.missing, [""; 0]);
}

#[test]
fn all_that_is_tried_is_possible_without() {
    let asked = confinement();
    let attempts = in_child(|| prove(&asked, parent()));
    // Whether these are there is the kernel's matter and not the user's.
    let optional = ["use io_uring", "call the x32 table"];
    let held = attempts.iter().filter(|it| it.held);
    let held: Vec<_> = held.filter(|it| !optional.contains(&&*it.name)).collect();
    assert!(held.is_empty() || !geteuid().is_root(), "{held:#?}");
    assert!(possible(&attempts).contains(&"read /etc/passwd"));
}

#[test]
fn an_attempt_leaves_nothing_behind() {
    let asked = confinement();
    let left: Vec<bool> = in_child(|| {
        prove(&asked, parent());
        let own = getpid().as_raw_nonzero().get();
        let file = format!(".bulkhead-proof-{own}");
        let folders = ["/tmp", "/var/tmp"].map(|it| Path::new(it).join(&file).exists());
        let limited = getrlimit(Resource::Data).maximum.is_some();
        // SAFETY: no address is written, and the answer is looked at.
        let child = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } >= 0;
        [&folders[..], &[limited, child]].concat()
    });
    assert_eq!(left, [false; 4]);
}

#[test]
fn what_is_in_force_is_told() {
    let asked = confinement();
    let (in_force, ()) = confined(&asked, || ());
    let has = |wanted: &str| in_force.measures.iter().any(|it| it.starts_with(wanted));
    for measure in [
        "environment",
        "no new privileges",
        "limits",
        "landlock (ABI ",
        "seccomp",
    ] {
        assert!(has(measure), "{measure}: {in_force:#?}");
    }
    assert_eq!(has("uid 61184"), asked.uid.is_some(), "{in_force:#?}");
}

#[test]
fn without_a_sandbox_the_system_stays_open() {
    let asked = Confinement {
        sandbox: false,
        ..confinement()
    };
    let (in_force, (file, limit)) = confined(&asked, || {
        let file = fs::read("/etc/passwd").is_ok();
        (file, getrlimit(Resource::Data).maximum)
    });
    assert!(file);
    assert_eq!(limit, Some(MEMORY));
    assert!(!in_force.measures.iter().any(|it| it == "seccomp"));
    assert_eq!(in_force.missing, [""; 0]);
}

#[test]
fn a_thread_is_confined_as_well() {
    let (_, attempts) = confined(&confinement(), || {
        let asked = confinement();
        let parent = parent();
        thread::spawn(move || prove(&Confinement { uid: None, ..asked }, parent))
            .join()
            .unwrap()
    });
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}");
}

#[test]
fn a_user_that_is_not_root_cannot_become_another() {
    let asked = Confinement {
        uid: Some(UID),
        ..confinement()
    };
    let (in_force, attempts) = in_child(|| {
        if geteuid().is_root() {
            // SAFETY: a number is all that it reads, and the process has one thread.
            assert_eq!(unsafe { libc::setuid(UID + 2) }, 0);
        }
        let library = File::open("/dev/null").unwrap();
        (confine(&asked, library.as_fd()), prove(&asked, parent()))
    });
    let missing = ["uid 61184 (only root can become another user)"];
    assert_eq!(in_force.missing, missing);
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}");
}

#[test]
fn root_without_a_user_keeps_no_capability() {
    let asked = Confinement {
        uid: None,
        ..confinement()
    };
    let (in_force, (status, attempts)) = confined(&asked, || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        (status, prove(&asked, parent()))
    });
    let capabilities = status.lines().filter(|it| it.starts_with("Cap"));
    let is_none = |it: &str| it.ends_with("0000000000000000");
    if geteuid().is_root() {
        assert!(capabilities.clone().all(is_none), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?} {in_force:#?}");
}
