//! Catches panics where foreign code is entered, with message, location and raw backtrace.
//!
//! The hook belongs to the library's own `std`: every plugin has one. It takes addresses only;
//! naming them here would cost each plugin 75 ms and 35 MiB for the first panic.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::ptr;
use std::sync::Once;

/// What is known of a panic.
#[derive(Debug, Default)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: String,
    pub(crate) backtrace: Vec<u64>,
}

const MAX_FRAMES: usize = 64;

thread_local! {
    // Plain cells: a destructor would register this library with the thread, for ever.
    static GUARDED: Cell<u32> = const { Cell::new(0) };
    static LATEST: Cell<*mut Panic> = const { Cell::new(ptr::null_mut()) };
}

/// Runs `code`, and gives back the panic that ended it, if one did. What an outer `catch` on this
/// thread has seen so far is kept for it: a destructor may enter here while that one unwinds.
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    install_hook();
    let outer = LATEST.replace(ptr::null_mut());
    let outcome = guarded(code);
    let seen = take_latest();
    LATEST.set(outer);
    outcome.map_err(|payload| {
        let panic = panic_of(&*payload, seen);
        discard(payload);
        panic
    })
}

/// What ended the code is what it threw. The hook may have seen another panic, which the code caught
/// itself, or none at all: a payload that comes from another thread is thrown on without the hook.
fn panic_of(payload: &(dyn Any + Send), seen: Option<Panic>) -> Panic {
    let message = message(payload);
    let seen = seen.filter(|panic| panic.message == message);
    seen.unwrap_or_else(|| Panic {
        message,
        ..Panic::default()
    })
}

/// Runs the host's own code, which must not unwind into a plugin: `None` after a panic, which is
/// reported as any other of the host's. The payload is ours too, and given up: it is not dropped.
pub(crate) fn contain<T>(code: impl FnOnce() -> T) -> Option<T> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(code));
    outcome.map_err(std::mem::forget).ok()
}

fn guarded<T>(code: impl FnOnce() -> T) -> std::thread::Result<T> {
    GUARDED.set(GUARDED.get() + 1);
    let outcome = panic::catch_unwind(AssertUnwindSafe(code));
    GUARDED.set(GUARDED.get() - 1);
    outcome
}

/// Drops what was thrown. Its destructor is foreign code too and may panic again.
fn discard(payload: Box<dyn Any + Send>) {
    let outer = LATEST.replace(ptr::null_mut());
    let dropped = guarded(|| drop(payload));
    drop(take_latest());
    LATEST.set(outer);
    if let Err(second) = dropped {
        std::mem::forget(second);
    }
}

fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if GUARDED.get() > 0 {
                record(info)
            } else {
                previous(info)
            }
        }));
    });
}

fn record(info: &PanicHookInfo<'_>) {
    let mut backtrace = Vec::with_capacity(MAX_FRAMES);
    backtrace::trace(|frame| {
        backtrace.push(frame.ip() as u64);
        backtrace.len() < MAX_FRAMES
    });
    let report = Panic {
        message: message(info.payload()),
        location: info.location().map(ToString::to_string).unwrap_or_default(),
        backtrace,
    };
    if let Some(first) = take_latest() {
        // A panic while another unwinds ends the process: then nobody catches either of the two.
        for panic in [&first, &report] {
            eprintln!("panicked at {}: {}", panic.location, panic.message);
        }
    }
    LATEST.set(Box::into_raw(Box::new(report)));
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panicked with a payload that is no text")
        .to_owned()
}

fn take_latest() -> Option<Panic> {
    let latest = LATEST.replace(ptr::null_mut());
    // SAFETY: only `record` stores a pointer that is not null, made by `Box::into_raw`, and taking
    // it leaves null behind, so each is given back once, on the thread that made it.
    (!latest.is_null()).then(|| *unsafe { Box::from_raw(latest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let panic = catch(|| panic!("kaboom {}", 7)).unwrap_err();
        assert_eq!(panic.message, "kaboom 7");
        assert!(panic.location.contains("panics.rs:"), "{}", panic.location);
        assert!(panic.backtrace.len() > 2);
    }

    #[test]
    fn a_payload_that_panics_in_drop_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let panic = catch(|| panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(panic.message, "panicked with a payload that is no text");
        assert_eq!(catch(|| 1).unwrap(), 1);
    }

    #[test]
    fn guards_nest() {
        let outer = catch(|| catch(|| panic!("inner")).unwrap_err().message);
        assert_eq!(outer.unwrap(), "inner");
    }

    #[test]
    fn a_guard_entered_while_another_unwinds_takes_nothing_from_it() {
        struct Enters;
        impl Drop for Enters {
            fn drop(&mut self) {
                assert_eq!(catch(|| panic!("inner")).unwrap_err().message, "inner");
            }
        }
        let panic = catch(|| {
            let _enters = Enters;
            panic!("outer");
        });
        let panic = panic.unwrap_err();
        assert_eq!(panic.message, "outer");
        assert!(panic.location.contains("panics.rs:"), "{}", panic.location);
    }

    #[test]
    fn a_panic_that_the_code_caught_itself_is_not_the_one_that_ended_it() {
        let caught = || drop(panic::catch_unwind(|| panic!("caught")));
        let panic = catch(|| {
            caught();
            panic::resume_unwind(Box::new("from another thread"));
        });
        let panic = panic.unwrap_err();
        assert_eq!(panic.message, "from another thread");
        assert_eq!((panic.location.as_str(), panic.backtrace.len()), ("", 0));

        catch(caught).unwrap();
        assert!(take_latest().is_none(), "nothing is left behind");
    }
}
