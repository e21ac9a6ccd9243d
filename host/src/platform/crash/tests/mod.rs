//! Child processes that really die, and what their pages then say.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::report::{CrashReport, FRAMES, parse};
use super::signal_name;
use crate::platform::PAGE;
use victim::{DEATHS, FRAME, SEAT};

mod victim;

/// A process that is dying.
struct Victim {
    page: NamedTempFile,
    socket: UnixDatagram,
    child: Child,
}

/// What is left of it.
struct Remains {
    /// The signal that ended it.
    signal: Option<i32>,
    page: [u8; PAGE],
    report: Option<CrashReport>,
    /// How many frames came.
    frames: usize,
}

impl Victim {
    fn new(death: &str) -> Self {
        let page = NamedTempFile::new().unwrap();
        page.as_file().set_len(PAGE as u64).unwrap();
        let (socket, theirs) = UnixDatagram::pair().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", victim::TEST, "--ignored", "--nocapture"])
            .env(victim::DEATH, death)
            .env(victim::PAGE_AT, page.path())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self {
            page,
            socket,
            child,
        }
    }

    fn has_sent_frame(&self) -> bool {
        let mut buffer = [0; 64];
        let received = self.socket.recv(&mut buffer);
        received.is_ok_and(|length| {
            assert!(length == 0 || &buffer[..length] == FRAME);
            length > 0
        })
    }

    fn read(&self) -> [u8; PAGE] {
        fs::read(self.page.path()).unwrap().try_into().unwrap()
    }

    fn end(mut self) -> Remains {
        let status = self.child.wait().unwrap();
        self.socket.set_nonblocking(true).unwrap();
        let mut frames = 0;
        while self.has_sent_frame() {
            frames += 1;
        }
        let page = self.read();
        Remains {
            signal: status.signal(),
            report: parse(&page),
            page,
            frames,
        }
    }
}

impl Remains {
    fn of(death: &str) -> Self {
        Victim::new(death).end()
    }

    /// An address that the victim has left beside its report.
    fn note(&self, at: usize) -> u64 {
        u64::from_ne_bytes(*self.page[at..].first_chunk().unwrap())
    }

    /// Which frame lies in the function that died.
    fn frame_of_culprit(&self) -> Option<usize> {
        let start = self.note(victim::CULPRIT_AT);
        let backtrace = &self.report.as_ref().unwrap().backtrace;
        backtrace
            .iter()
            .position(|ip| (start..start + 1024).contains(ip))
    }
}

#[test]
fn each_death_is_told_and_then_died() {
    for (death, signal, _) in DEATHS {
        let remains = Remains::of(death);
        let report = remains.report.as_ref().expect(death);
        assert_eq!(remains.signal, Some(*signal), "{death}");
        assert_eq!(report.signal_name(), signal_name(*signal), "{death}");
        assert_eq!(remains.frames, 2, "{death}");
        assert!(report.complete, "{death}");
        assert_eq!(report.seat, Some(SEAT), "{death}");
        let data = report.data.unwrap();
        assert!((1 << 16..1 << 40).contains(&data), "{death}: {data}");
        assert_eq!(report.backtrace.first(), Some(&report.ip), "{death}");
        assert!(report.backtrace.len() > 2, "{death}: {report:x?}");
        assert!(
            remains.frame_of_culprit().is_some(),
            "{death}: {report:x?} {:x}",
            remains.note(victim::CULPRIT_AT)
        );
    }
}

#[test]
fn a_fault_names_its_address_and_its_instruction() {
    let null = Remains::of("null");
    let report = null.report.as_ref().unwrap();
    assert_eq!(report.address, Some(victim::NULLISH));
    // Unoptimised, a volatile read is a function of its own.
    assert!(null.frame_of_culprit().unwrap() < 3);
    // The test harness names threads for their tests, the system shortens that.
    assert_eq!(report.thread, victim::TEST[..15]);
    let nowhere = Remains::of("nowhere").report.unwrap();
    assert_eq!(nowhere.address, Some(victim::NOWHERE));
    assert_eq!(nowhere.ip, victim::NOWHERE);
}

#[test]
fn an_overflow_is_told_with_as_many_frames_as_fit() {
    let remains = Remains::of("overflow");
    let report = remains.report.as_ref().unwrap();
    assert_eq!(report.backtrace.len(), FRAMES);
    assert!(remains.frame_of_culprit().unwrap() < 8);
}

#[test]
fn a_thread_that_nobody_guards_is_told_of_too() {
    let report = Remains::of("unguarded").report.unwrap();
    assert_eq!(report.seat, None);
    assert_eq!(report.thread, "left alone");
    assert_eq!(report.address, Some(victim::NULLISH));
    assert!(report.complete);
}

#[test]
fn of_two_that_die_at_once_one_tells() {
    for _ in 0..10 {
        let remains = Remains::of("two");
        assert_eq!(remains.signal, Some(libc::SIGSEGV));
        assert_eq!(remains.frames, 2);
        assert!(remains.report.unwrap().complete);
    }
}

#[test]
fn what_ends_the_unwinder_leaves_the_facts() {
    // Nothing can be unwound from a stack pointer that points nowhere.
    if cfg!(target_arch = "x86_64") {
        let remains = Remains::of("stackless");
        let report = remains.report.unwrap();
        assert_eq!(remains.signal, Some(libc::SIGSEGV));
        assert_eq!(report.signal_name(), "SIGILL");
        assert_eq!(report.backtrace.first(), Some(&report.ip));
        assert!(!report.complete);
        assert_eq!(remains.frames, 1);
    }
}

#[test]
fn a_page_that_was_scribbled_on_changes_no_death() {
    let remains = Remains::of("scribbled");
    assert_eq!(remains.signal, Some(libc::SIGSEGV));
    let report = remains.report.unwrap();
    assert!(report.complete);
    assert_eq!(report.address, Some(victim::NULLISH));
}

#[test]
fn who_gives_up_while_telling_waits_for_nobody() {
    let remains = Remains::of("again");
    assert_eq!(remains.signal, Some(libc::SIGABRT));
    assert_eq!((remains.report, remains.frames), (None, 0));
}

#[test]
fn a_forked_copy_dies_in_silence() {
    let remains = Remains::of("forked");
    assert_eq!(remains.signal, None);
    assert_eq!((remains.report, remains.frames), (None, 0));
}

#[test]
fn the_alternate_stack_goes_with_its_guard() {
    let stacks = || {
        let mut maps = String::new();
        let file = File::open("/proc/thread-self/maps");
        file.unwrap().read_to_string(&mut maps).unwrap();
        maps.lines().count()
    };
    if cfg!(target_os = "linux") {
        drop(super::guard_thread(Some(1)));
        let before = stacks();
        for _ in 0..50 {
            drop(super::guard_thread(Some(1)));
        }
        assert!(stacks() < before + 25);
    }
}

#[test]
fn the_facts_can_be_read_at_the_first_frame() {
    let mut first = Vec::new();
    let mut second = Vec::new();
    for _ in 0..20 {
        let victim = Victim::new("null");
        assert!(victim.has_sent_frame());
        let told = victim::clock();
        assert!(parse(&victim.read()).is_some());
        assert!(victim.has_sent_frame());
        let complete = victim::clock();
        let remains = victim.end();
        let fault = remains.note(victim::CLOCK_AT);
        first.push(Duration::from_nanos(told - fault));
        second.push(Duration::from_nanos(complete - fault));
    }
    first.sort();
    second.sort();
    println!("facts: {first:?}\nbacktrace: {second:?}");
}
