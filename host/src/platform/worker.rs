//! The first that a worker process does: takes the way to its host, and makes sure to die with it.

use std::io;

use super::channel::WorkerChannel;
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
