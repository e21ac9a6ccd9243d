//! A stack of its own for a thread's signal handlers, so that an overflow of the thread's stack can
//! be told of; and the seat for which the thread works.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_int, c_void};
use rustix::param::page_size;

use super::report::NO_SEAT;

/// What the handler needs, and the unwinder, with room to spare.
const SIZE: usize = 64 * 1024;

thread_local! {
    static SEAT: Cell<u32> = const { Cell::new(NO_SEAT) };
}

/// The seat that was noted for this thread. Can be asked from a signal handler: the cell lies in the
/// program's own thread-local memory, which every thread has from its begin to its end.
pub(super) fn seat() -> u32 {
    SEAT.get()
}

/// What tells this thread from all others that live; never 0. Can be asked from a signal handler.
pub(super) fn thread_identity() -> usize {
    SEAT.with(|seat| ptr::from_ref(seat).addr())
}

/// Holds the calling thread's alternate stack and seat; both are as they were when it is dropped.
#[must_use = "what is dropped guards nothing"]
pub struct Guarded {
    /// Undone by its own drop.
    _stack: Option<Stack>,
    former_seat: u32,
    /// Both belong to the thread, so this stays with it.
    _thread: PhantomData<*const ()>,
}

/// Gives the calling thread an alternate stack for signal handlers, and notes the seat for which it
/// works. Where there is no memory for the stack, an overflow of the thread's own goes unreported.
pub fn guard_thread(seat: Option<u32>) -> Guarded {
    Guarded {
        _stack: Stack::install(),
        former_seat: SEAT.replace(seat.unwrap_or(NO_SEAT)),
        _thread: PhantomData,
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        SEAT.set(self.former_seat);
    }
}

/// An alternate stack that is in use, above a page that nobody may touch.
struct Stack {
    mapping: Mapping,
    former: libc::stack_t,
}

impl Stack {
    fn install() -> Option<Self> {
        let guard = page_size();
        let mapping = Mapping::new(guard + SIZE)?;
        // SAFETY: the first page of a mapping that nothing uses yet.
        if unsafe { libc::mprotect(mapping.start, guard, libc::PROT_NONE) } != 0 {
            return None;
        }
        let stack = libc::stack_t {
            ss_sp: mapping.start.wrapping_byte_add(guard),
            ss_flags: 0,
            ss_size: SIZE,
        };
        let mut former = MaybeUninit::uninit();
        // SAFETY: the memory is mapped until `drop` has put the former stack back.
        if unsafe { libc::sigaltstack(&raw const stack, former.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: the call succeeded, so it has written the former stack.
        let former = unsafe { former.assume_init() };
        Some(Self { mapping, former })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: it was this thread's stack before, and whoever installed it outlives this guard.
        let restored = unsafe { libc::sigaltstack(&raw const self.former, ptr::null_mut()) };
        if restored != 0 {
            // The system still uses it.
            self.mapping.leak();
        }
    }
}

/// Memory of its own.
struct Mapping {
    start: *mut c_void,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> Option<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory, where the system likes, touches nothing that exists.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, FLAGS, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start, length })
    }

    fn leak(&mut self) {
        self.length = 0;
    }
}

const FLAGS: c_int = libc::MAP_PRIVATE | libc::MAP_ANON;

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: it was mapped in `new` with this length, and nothing points there any more.
            unsafe { libc::munmap(self.start, self.length) };
        }
    }
}
