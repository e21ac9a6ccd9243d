//! Which files of a folder were opened, as the system saw it.

use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::inotify;
use rustix::io::Errno;

/// The names of the files that were opened in `folder` while `action` ran, each once, in order.
pub fn opened_during(folder: &Path, action: impl FnOnce()) -> Vec<String> {
    let queue = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&queue, folder, inotify::WatchFlags::OPEN).unwrap();
    action();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&queue, &mut buffer);
    let mut opened = Vec::new();
    loop {
        match events.next() {
            // The folder itself has no name in its events.
            Ok(event) => opened.extend(event.file_name().map(|name| {
                let name = name.to_string_lossy();
                name.into_owned()
            })),
            Err(Errno::AGAIN) => break,
            Err(error) => panic!("inotify: {error}"),
        }
    }
    opened.sort();
    opened.dedup();
    opened
}
