//! The backtrace of interrupted code, taken from within its signal handler and written down frame by
//! frame, so that what was found is there if the search for more ends the process.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::report::{FRAMES, Page};

/// Writes `ip`, and the callers of `start`: the same, or where `ip` was called from if it is no code.
pub(super) fn trace(page: &Page, ip: u64, start: u64) {
    let mut count = 0;
    let mut record = |address| {
        if let Some(slot) = page.backtrace.get(count) {
            slot.store(address, Relaxed);
            count += 1;
            page.frames.store(count as u32, Release);
        }
        count < FRAMES
    };
    record(ip);
    if start != ip {
        record(start);
    }
    let mut is_reached = false;
    let frame = |frame: &backtrace::Frame| {
        let address = frame.ip().addr() as u64;
        if is_reached {
            // Below a thread's first function some unwinders see one more, at 0.
            return address != 0 && record(address);
        }
        // Before it come this handler's own frames.
        is_reached = address == start;
        true
    };
    // SAFETY: one thread only comes here, and what other threads unwind has its own state: the lock
    // that is left out guards names, which are not looked up.
    unsafe { backtrace::trace_unsynchronized(frame) };
}

/// Has the unwinder do once what it does only once, such as looking up its own functions.
pub(super) fn warm_up() {
    let mut count = 0;
    backtrace::trace(|_| {
        count += 1;
        count < 4
    });
}
