//! The signal handler with which a process tells of its own death, and then dies of it. All that runs
//! in the handler is async-signal-safe: no lock, no allocation, nothing that may panic.

use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::{IntoRawFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicUsize};

use libc::{c_int, c_void, siginfo_t};
use rustix::param::page_size;

use super::alternate::{seat, thread_identity};
use super::registers::Registers;
use super::report::{CLAIMED, COMPLETE, FACTS, Page, has_address};
use super::signals::FATAL;
use super::trace::{trace, warm_up};

/// What the handler works with; set once, never freed.
static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());
/// The thread that tells, 0 while none does. It is not the page that says so: foreign code can write
/// there, and must not be able to make a death wait for ever.
pub(super) static TELLER: AtomicUsize = AtomicUsize::new(0);

struct State {
    page: &'static Page,
    sockets: Box<[RawFd]>,
    frame: &'static [u8],
    /// A copy of this process that was forked has no say.
    process: libc::pid_t,
    /// Opened before a sandbox closes the way to it; -1 where there is none.
    statm: RawFd,
    page_size: u64,
}

/// From now on, a fatal signal writes a report into `page` and sends `frame` on each of `sockets`,
/// once when the facts are there and once when the backtrace is; then the process dies of it.
///
/// # Errors
/// When the system refuses a handler.
///
/// # Safety
/// `page` is 4096 writable bytes, aligned to 8, that stay mapped until the process ends and that this
/// process reads and writes in no other way.
pub unsafe fn install(
    page: NonNull<u8>,
    sockets: &[RawFd],
    frame: &'static [u8],
) -> io::Result<()> {
    // SAFETY: the caller promises size, alignment and life; any bytes are valid atomics.
    let page: &'static Page = unsafe { page.cast().as_ref() };
    page.stage.store(0, Release);
    let state = Box::new(State {
        page,
        sockets: sockets.into(),
        frame,
        process: process(),
        statm: File::open("/proc/self/statm").map_or(-1, IntoRawFd::into_raw_fd),
        page_size: page_size() as u64,
    });
    warm_up();
    STATE.store(Box::leak(state), Release);
    FATAL.iter().try_for_each(|(signal, _)| handle(*signal))
}

/// All signals wait while the handler runs: a fault in it then ends the process at once.
fn handle(signal: c_int) -> io::Result<()> {
    // SAFETY: all zeros is a `sigaction`, and the calls get pointers into it; the handler has the
    // type that SA_SIGINFO asks for, and lives as long as the program.
    let refused = unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    };
    if refused == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: it is null, or was leaked by `install`.
    let state = unsafe { STATE.load(Acquire).as_ref() };
    if let Some(state) = state.filter(|state| state.process == process()) {
        let this = thread_identity();
        match TELLER.compare_exchange(0, this, AcqRel, Acquire) {
            // SAFETY: both are what the system gave to this handler.
            Ok(_) => unsafe { state.tell(signal, &*info, Registers::new(context)) },
            // The teller itself gave up, such as an unwinder that aborts.
            Err(teller) if teller == this => {}
            Err(_) => wait_for_the_end(),
        }
    }
    die(signal)
}

impl State {
    /// # Safety
    /// `registers` are those of code that will not run again.
    unsafe fn tell(&self, signal: c_int, info: &siginfo_t, mut registers: Registers) {
        let page = self.page;
        let ip = registers.ip();
        // SAFETY: the union holds an address for these signals, and some other number for the rest.
        let address = unsafe { info.si_addr() }.addr() as u64;
        page.stage.store(CLAIMED, Relaxed);
        page.signal.store(signal.cast_unsigned(), Relaxed);
        page.code.store(info.si_code.cast_unsigned(), Relaxed);
        page.address.store(address, Relaxed);
        page.ip.store(ip, Relaxed);
        page.seat.store(seat(), Relaxed);
        page.frames.store(0, Relaxed);
        page.data.store(self.data(), Relaxed);
        name_thread(page);
        page.stage.store(FACTS, Release);
        self.send();
        let is_no_code = has_address(signal, info.si_code) && address == ip && is_access(signal);
        let start = if is_no_code {
            // SAFETY: what cannot be fetched was called; the caller promises that it never runs.
            unsafe { registers.leave() }
        } else {
            ip
        };
        trace(page, ip, start);
        page.stage.store(COMPLETE, Release);
        self.send();
    }

    fn send(&self) {
        for socket in &self.sockets {
            let (start, length) = (self.frame.as_ptr().cast(), self.frame.len());
            // SAFETY: the frame lives for ever; a socket that is none any more is an error.
            unsafe { libc::send(*socket, start, length, SEND) };
        }
    }

    /// Bytes of data and stacks in use, 0 where the system does not say.
    fn data(&self) -> u64 {
        let mut text = [0_u8; 128];
        // SAFETY: the buffer has that length; a descriptor that is none (any more) is an error.
        let read = unsafe { libc::pread(self.statm, text.as_mut_ptr().cast(), text.len(), 0) };
        let text = usize::try_from(read).ok().and_then(|read| text.get(..read));
        let pages = text.and_then(|text| number(text.split(|byte| *byte == b' ').nth(5)?));
        pages.unwrap_or(0).saturating_mul(self.page_size)
    }
}

#[cfg(target_vendor = "apple")]
const SEND: c_int = libc::MSG_DONTWAIT;
#[cfg(not(target_vendor = "apple"))]
const SEND: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

fn is_access(signal: c_int) -> bool {
    signal == libc::SIGSEGV || signal == libc::SIGBUS
}

fn number(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    digits.iter().try_fold(0_u64, |number, byte| {
        number.checked_mul(10)?.checked_add(digit(byte)?)
    })
}

#[cfg(target_os = "linux")]
fn name_thread(page: &Page) {
    let mut name = [0_u8; 16];
    // SAFETY: the call writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    for (slot, byte) in page.thread_name.iter().zip(name) {
        slot.store(byte, Relaxed);
    }
    // SAFETY: asks for a number.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    page.thread.store(thread as u32, Relaxed);
}

/// Elsewhere, nothing that a handler may call tells it.
#[cfg(not(target_os = "linux"))]
fn name_thread(_: &Page) {}

fn process() -> libc::pid_t {
    // SAFETY: asks for a number.
    unsafe { libc::getpid() }
}

/// Another thread tells of its death, which is this thread's too.
fn wait_for_the_end() -> ! {
    loop {
        // SAFETY: waits for a signal, and all are blocked but those that end the process.
        unsafe { libc::pause() };
    }
}

/// Ends the process by `signal`, as if it had not been handled. Returning would not do: it runs the
/// code again, which not every signal stops a second time.
fn die(signal: c_int) -> ! {
    // SAFETY: all zeros is a `sigaction` with the default action, and an empty set once filled in;
    // the calls get pointers into locals.
    unsafe {
        let action: libc::sigaction = zeroed();
        libc::sigaction(signal, &raw const action, ptr::null_mut());
        let mut only: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut only);
        libc::sigaddset(&raw mut only, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only, ptr::null_mut());
        libc::raise(signal);
        // A filter of system calls forbade it; a shell would say it so.
        libc::_exit(128 + signal)
    }
}
