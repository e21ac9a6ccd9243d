//! The first that a worker process does: takes the way to its host, and makes sure to die with it.

use std::io;

use super::channel::WorkerChannel;
use super::memory::MappedReplies;
use super::process::WORKER;

/// Whether this process was started as a worker.
pub fn is_worker() -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == WORKER)
}

/// Takes the way to the host, which the standard input is or names. For the first lines of a worker,
/// when it has one thread.
///
/// # Errors
/// When it was not a host that started this process.
pub fn adopt() -> io::Result<WorkerChannel> {
    #[cfg(target_os = "linux")]
    if super::linux::worker::has_channel() {
        return super::linux::worker::adopt();
    }
    super::portable::worker::adopt()
}

/// From now on, should this process die of a fault, a report goes into the first page of `replies`,
/// and `frame` to whoever listens at the other ends of `channels`, where the side has a way.
///
/// # Errors
/// When the system refuses a handler.
#[cfg(unix)]
pub fn report_crashes(
    replies: &MappedReplies,
    channels: &[&WorkerChannel],
    frame: Vec<u8>,
) -> io::Result<()> {
    let sockets: Vec<_> = channels.iter().filter_map(|it| it.raw_fd()).collect();
    let page = replies.report();
    // SAFETY: the page is the first of a mapping that is never undone, is aligned as pages are, and
    // nothing else in this process uses it.
    unsafe { super::crash::install(page, &sockets, frame.leak()) }
}

/// The system's own way of telling must do.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn report_crashes(_: &MappedReplies, _: &[&WorkerChannel], _: Vec<u8>) -> io::Result<()> {
    Ok(())
}

/// What is there for a thread that runs a plugin, for as long as it does.
#[cfg(unix)]
pub fn guard_thread(seat: Option<u32>) -> super::crash::Guarded {
    super::crash::guard_thread(seat)
}

/// What is there for a thread that runs a plugin, for as long as it does: nothing.
#[cfg(not(unix))]
pub fn guard_thread(_: Option<u32>) -> Guarded {
    Guarded
}

/// Nothing.
#[cfg(not(unix))]
pub struct Guarded;

#[cfg(not(unix))]
impl Drop for Guarded {
    fn drop(&mut self) {}
}

/// Lends an open library to the confinement.
#[cfg(unix)]
pub fn lend(file: &std::fs::File) -> super::confine::LibraryFile<'_> {
    std::os::fd::AsFd::as_fd(file)
}

/// Lends an open library to the confinement.
#[cfg(windows)]
pub fn lend(file: &std::fs::File) -> super::confine::LibraryFile<'_> {
    std::os::windows::io::AsHandle::as_handle(file)
}

/// Whether this process may become another user.
#[cfg(unix)]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process may become another user.
#[cfg(not(unix))]
pub fn is_root() -> bool {
    false
}
