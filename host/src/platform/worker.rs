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
