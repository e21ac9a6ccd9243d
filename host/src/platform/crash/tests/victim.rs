//! The child process of the tests beside it: dies in the way that its environment asks for.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;

use super::super::alternate::thread_identity;
use super::super::handler::TELLER;
use super::super::{guard_thread, install};
use crate::platform::PAGE;

/// The name of the test that dies.
pub(super) const TEST: &str = "platform::crash::tests::victim::dies";
/// The variable that says how.
pub(super) const DEATH: &str = "BULKHEAD_TEST_DEATH";
/// The variable that says where the page is.
pub(super) const PAGE_AT: &str = "BULKHEAD_TEST_PAGE";
/// What is sent.
pub(super) const FRAME: &[u8] = b"crash";
/// The seat of the thread that dies.
pub(super) const SEAT: u32 = 7;
/// Addresses at which there is nothing.
pub(super) const NULLISH: u64 = 8;
pub(super) const NOWHERE: u64 = 0x10;
/// Where in the page, behind the report, the victim leaves the time of its fault.
pub(super) const CLOCK_AT: usize = 4000;
/// And the address of the function that faults.
pub(super) const CULPRIT_AT: usize = 4008;

type Culprit = fn();

/// Ways to die of one's own code: the signal, and the function in which it happens.
pub(super) const DEATHS: &[(&str, i32, Culprit)] = &[
    ("null", libc::SIGSEGV, null),
    ("nowhere", libc::SIGSEGV, nowhere),
    ("abort", libc::SIGABRT, abort),
    ("libc abort", libc::SIGABRT, libc_abort),
    ("double panic", libc::SIGABRT, double_panic),
    ("no memory", libc::SIGABRT, no_memory),
    ("division", libc::SIGFPE, division),
    ("illegal", libc::SIGILL, illegal),
    ("trap", libc::SIGTRAP, trap),
    ("system call", libc::SIGSYS, system_call),
    ("bus", libc::SIGBUS, bus),
    ("overflow", libc::SIGSEGV, overflow),
];

#[test]
#[ignore = "the child of the tests beside it"]
fn dies() {
    let (Some(death), Some(page)) = (std::env::var_os(DEATH), std::env::var_os(PAGE_AT)) else {
        return;
    };
    let page = OpenOptions::new().read(true).write(true).open(page);
    let page = map(&page.unwrap());
    let no_core = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the page stays mapped, and is written elsewhere only where a test wants it so.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
        install(page, &[0, 0x7fff, -1], FRAME).unwrap();
    }
    let page = Notes(page);
    let death = death.to_str().unwrap();
    let _guarded = guard_thread(Some(SEAT));
    match DEATHS.iter().find(|known| known.0 == death) {
        Some((_, _, culprit)) => {
            page.write(CULPRIT_AT, *culprit as usize as u64);
            page.write(CLOCK_AT, clock());
            culprit();
        }
        None => die_otherwise(death, &page),
    }
}

fn die_otherwise(death: &str, page: &Notes) {
    match death {
        "unguarded" => unguarded(),
        "two" => two(),
        "stackless" => stackless(),
        "forked" => forked(),
        "again" => {
            TELLER.store(thread_identity(), Ordering::Relaxed);
            libc_abort();
        }
        "scribbled" => {
            (0..72).for_each(|word| page.write(word * 8, u64::MAX));
            null();
        }
        other => panic!("nobody dies of {other}"),
    }
}

/// The page, beside the handler.
struct Notes(NonNull<u8>);

impl Notes {
    fn write(&self, at: usize, value: u64) {
        assert!(at + 8 <= PAGE);
        // SAFETY: within the page, which stays mapped.
        unsafe { self.0.add(at).cast::<u64>().write_volatile(value) };
    }
}

fn map(file: &File) -> NonNull<u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let (any, shared) = (ptr::null_mut(), libc::MAP_SHARED);
    // SAFETY: new memory.
    let page = unsafe { libc::mmap(any, PAGE, access, shared, file.as_raw_fd(), 0) };
    assert_ne!(page, libc::MAP_FAILED);
    NonNull::new(page.cast()).unwrap()
}

/// Nanoseconds of a clock that all processes share.
pub(super) fn clock() -> u64 {
    // SAFETY: all zeros is a time, and the call writes one.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[inline(never)]
fn null() {
    let nothing = black_box(NULLISH as *const u8);
    // SAFETY: none; this is how it dies.
    black_box(unsafe { nothing.read_volatile() });
}

#[inline(never)]
fn nowhere() {
    // SAFETY: none; this is how it dies.
    let code: fn() = unsafe { std::mem::transmute(black_box(NOWHERE as usize)) };
    code();
    black_box(());
}

#[inline(never)]
fn abort() {
    std::process::abort()
}

#[inline(never)]
fn libc_abort() {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("the second");
    }
}

#[inline(never)]
fn double_panic() {
    let _second = PanicsOnDrop;
    panic!("the first");
}

#[inline(never)]
fn no_memory() {
    std::alloc::handle_alloc_error(std::alloc::Layout::new::<u64>())
}

#[inline(never)]
fn division() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none; this is how it dies.
    unsafe {
        std::arch::asm!("div {0:e}", in(reg) 0_u32, inout("eax") 1_u32 => _, inout("edx") 0_u32 => _);
    }
    #[cfg(not(target_arch = "x86_64"))]
    raise(libc::SIGFPE);
}

#[inline(never)]
fn illegal() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none; this is how it dies.
    unsafe {
        std::arch::asm!("ud2");
    }
    #[cfg(not(target_arch = "x86_64"))]
    raise(libc::SIGILL);
}

#[inline(never)]
fn trap() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none; this is how it dies.
    unsafe {
        std::arch::asm!("int3");
    }
    #[cfg(not(target_arch = "x86_64"))]
    raise(libc::SIGTRAP);
}

/// As a filter of system calls would send it.
#[inline(never)]
fn system_call() {
    raise(libc::SIGSYS);
    black_box(());
}

fn raise(signal: i32) {
    // SAFETY: sends a signal to this thread.
    unsafe { libc::raise(signal) };
}

#[inline(never)]
fn bus() {
    // It has no name, so it goes with the process.
    let file = tempfile::tempfile().unwrap();
    file.set_len(PAGE as u64).unwrap();
    let page = map(&file);
    file.set_len(0).unwrap();
    // SAFETY: none; this is how it dies.
    black_box(unsafe { page.read_volatile() });
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "this is how it dies")]
fn overflow() {
    let array = black_box([0_u8; 512]);
    overflow();
    black_box(array);
}

fn unguarded() {
    let thread = thread::Builder::new().name("left alone".to_owned());
    let thread = thread.spawn(|| {
        // SAFETY: all zeros but the flag is how a stack is taken away; the standard library gave it.
        unsafe {
            let mut none: libc::stack_t = zeroed();
            none.ss_flags = libc::SS_DISABLE;
            libc::sigaltstack(&raw const none, ptr::null_mut());
        }
        null();
    });
    let _ = thread.unwrap().join();
}

fn two() {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let _guarded = guard_thread(Some(SEAT));
                barrier.wait();
                null();
            });
        }
    });
}

fn stackless() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none; this is how it dies.
    unsafe {
        std::arch::asm!("mov rsp, 16", "mov rbp, 16", "ud2", options(noreturn));
    }
}

fn forked() {
    // SAFETY: the copy does nothing but die; the other waits for it.
    unsafe {
        let copy = libc::fork();
        if copy == 0 {
            null();
        }
        let mut status = 0;
        libc::waitpid(copy, &raw mut status, 0);
        assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV);
    }
}
