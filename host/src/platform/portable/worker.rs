//! A worker's first steps, and its last: without a system that ends it with its host, a thread waits
//! for the host's death.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::platform::channel::WorkerChannel;
use crate::platform::handle::Handle;

/// Files of the host's that this process knows of.
static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Connects to the address on the standard input, which stays open for as long as the host lives.
pub(in crate::platform) fn adopt() -> io::Result<WorkerChannel> {
    let mut address = String::new();
    // By the byte: what comes after the line is for nobody else to wait for.
    for byte in io::stdin().lock().bytes() {
        match byte? {
            b'\n' => break,
            byte => address.push(char::from(byte)),
        }
    }
    thread::Builder::new()
        .name("host watch".to_owned())
        .spawn(end_with_host)?;
    WorkerChannel::take(Handle::Name(address))
}

/// Notes a file that is to go with the host, should that die without removing it.
pub(in crate::platform) fn note_file(path: PathBuf) {
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    files.push(path);
}

fn end_with_host() {
    let mut nothing = [0; 64];
    while io::stdin()
        .lock()
        .read(&mut nothing)
        .is_ok_and(|read| read > 0)
    {}
    for file in FILES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let _ = std::fs::remove_file(file);
        // Empty once the last is gone.
        let _ = file.parent().map(std::fs::remove_dir);
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
