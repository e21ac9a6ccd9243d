//! A worker's first steps: its channel goes out of the way of whoever uses the standard streams.

use std::fs::File;
use std::io;

use rustix::fs::{FileType, fstat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::stdio::{dup2_stdin, stdin};

use crate::platform::channel::WorkerChannel;
use crate::platform::handle::Handle;

/// Above what careless code closes.
const CHANNEL_FROM: i32 = 200;

/// Whether the standard input is a channel.
pub(in crate::platform) fn has_channel() -> bool {
    fstat(stdin()).is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Socket)
}

/// Takes the channel, and leaves nothing in its place that could be read.
pub(in crate::platform) fn adopt() -> io::Result<WorkerChannel> {
    // If the host has died before this line, the first frame cannot be sent.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A core file of a worker with much memory takes seconds to write, and the report says more.
    setrlimit(Resource::Core, none)?;
    let channel = fcntl_dupfd_cloexec(stdin(), CHANNEL_FROM)?;
    dup2_stdin(File::open("/dev/null")?)?;
    close_inherited();
    WorkerChannel::take(Handle::Descriptor(channel))
}

/// What the host has opened without care, and what it was started with.
fn close_inherited() {
    let first_of_ours = CHANNEL_FROM.unsigned_abs();
    // SAFETY: nothing has been opened yet but the standard streams and the channel, so no owner of a
    // descriptor is left with a number that is not its own any more.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, first_of_ours - 1, 0);
        libc::syscall(libc::SYS_close_range, first_of_ours + 1, u32::MAX, 0);
    }
}
