//! A worker's first steps, and its last: without a system that ends it with its host, a thread waits
//! for the host's death.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::platform::channel::WorkerChannel;
use crate::platform::handle::Handle;

/// Held while the host's files are removed.
static CLEANING: Mutex<()> = Mutex::new(());
/// How long a worker whose channel has ended waits to see whether its host has too.
const LINGER: Duration = Duration::from_millis(20);

/// How often it is tried to remove the host's files.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(2);

/// Connects to the address on the standard input, which stays open for as long as the host lives.
pub(in crate::platform) fn adopt() -> io::Result<WorkerChannel> {
    let (address, folder) = (read_line()?, PathBuf::from(read_line()?));
    thread::Builder::new()
        .name("host watch".to_owned())
        .spawn(move || end_with_host(&folder))?;
    WorkerChannel::take(Handle::Name(address))
}

/// Before a worker ends: if its host is gone, its files go first.
pub(in crate::platform) fn linger() {
    thread::sleep(LINGER);
    drop(CLEANING.lock());
}

/// By the byte: what comes after the line is for nobody else to wait for.
fn read_line() -> io::Result<String> {
    let mut line = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(io::Error::other)
}

/// What the host would have removed at its end goes with it, should it have had no time for that.
fn end_with_host(folder: &Path) {
    let mut nothing = [0; 64];
    while io::stdin()
        .lock()
        .read(&mut nothing)
        .is_ok_and(|read| read > 0)
    {}
    let _cleaning = CLEANING.lock().unwrap_or_else(PoisonError::into_inner);
    // Others may be at it too, and take a file away under our hands.
    for _ in 0..TRIES {
        if folder.as_os_str().is_empty() || std::fs::remove_dir_all(folder).is_ok() {
            break;
        }
        thread::sleep(PAUSE);
        if !folder.exists() {
            break;
        }
    }
    end_now();
}

/// Without the handlers that a plugin may have left for a regular exit.
#[cfg(unix)]
fn end_now() {
    // SAFETY: it does not return, and needs nothing of this process.
    unsafe { libc::_exit(0) }
}

#[cfg(not(unix))]
fn end_now() {
    std::process::exit(0)
}
