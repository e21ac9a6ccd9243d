//! What still binds a worker to its daemon, and the ways of it that stay open.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Signal, dumpable_behavior, parent_process_death_signal,
    set_dumpable_behavior, set_parent_process_death_signal, umask,
};

use super::{confined, confinement};
use crate::platform::confine;

#[test]
fn other_users_of_the_machine_see_no_core_and_it_dies_with_the_daemon() {
    let (_, ties) = confined(&confinement(), || {
        let dumpable = dumpable_behavior().unwrap() == DumpableBehavior::NotDumpable;
        let signal = parent_process_death_signal().unwrap() == Some(Signal::KILL);
        let umask = umask(Mode::empty()).as_raw_mode();
        (dumpable, signal, umask, std::env::current_dir().unwrap())
    });
    assert_eq!(ties, (true, true, 0o077, PathBuf::from("/")));
}

#[test]
fn it_cannot_undo_its_ties() {
    let (_, undone) = confined(&confinement(), || {
        let alone = set_parent_process_death_signal(None).is_ok();
        (
            alone,
            set_dumpable_behavior(DumpableBehavior::Dumpable).is_ok(),
        )
    });
    assert_eq!(undone, (false, false));
}

#[test]
fn what_it_was_given_stays_usable() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"ping").unwrap();
    let (_, echoed) = confined(&confinement(), || {
        let mut text = [0; 4];
        (&theirs).read_exact(&mut text).is_ok() && (&theirs).write_all(&text).is_ok()
    });
    let mut text = [0; 4];
    ours.read_exact(&mut text).unwrap();
    assert!(echoed && &text == b"ping");
}

#[test]
fn it_may_abort() {
    let signal = {
        let asked = confinement();
        let library = File::open("/dev/null").unwrap();
        // SAFETY: see `in_child`; the child only confines itself and aborts.
        let child = unsafe { libc::fork() };
        if child == 0 {
            confine(&asked, library.as_fd());
            std::process::abort();
        }
        let mut status = 0;
        // SAFETY: the address is that of a number which outlives the call.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(libc::WIFSIGNALED(status) && !libc::WCOREDUMP(status));
        libc::WTERMSIG(status)
    };
    assert_eq!(signal, libc::SIGABRT);
}
