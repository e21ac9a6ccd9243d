//! A control group for each worker: cgroups(7), and the kernel's `Documentation/admin-guide/cgroup-v2.rst`.
//!
//! The host makes them below its own group, where that is left to it: it moves into a leaf beside
//! them, because a group with limits for those below has no processes. Only workers are limited.
//! Nothing here knows what a worker does.

mod own;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Begins the names of workers' groups.
const WORKER: &str = "worker-";
/// What a worker needs beside what is counted as its memory: the stack of its first thread, which
/// limits of data do not count, the kernel's own of its threads, page tables, sockets.
const ROOM: u64 = 24 << 20;
/// How often it is tried to remove a group, with a pause that doubles from one millisecond: about 4 s.
const TRIES: u32 = 12;

/// The group below which workers have theirs.
#[derive(Debug)]
pub(in crate::platform) struct Groups {
    base: PathBuf,
    next: AtomicU64,
}

impl Groups {
    /// Takes over what is left to this process, once: it is in one group, whoever asks. The reason, if
    /// there is nothing.
    pub(in crate::platform) fn take() -> Result<Arc<Self>, String> {
        static TAKEN: OnceLock<Result<Arc<Groups>, String>> = OnceLock::new();
        let take = || own::take().map(|base| Arc::new(Self::below(base)));
        TAKEN.get_or_init(take).clone()
    }

    fn below(base: PathBuf) -> Self {
        Self {
            base,
            next: AtomicU64::new(1),
        }
    }

    /// A group for one worker, without limits yet.
    pub(in crate::platform) fn create(&self) -> io::Result<Group> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let folder = self.base.join(format!("{WORKER}{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Group { folder }),
                // One of an earlier host that does not end.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(&folder, &error)),
            }
        }
    }
}

/// What all processes of a worker are in, those included that it has hidden. Ended and removed with
/// its drop, as far as that goes without waiting.
#[derive(Debug)]
pub(in crate::platform) struct Group {
    folder: PathBuf,
}

impl Group {
    /// Puts a process into it, and so all that it will start.
    pub(in crate::platform) fn adopt(&self, process: u32) -> io::Result<()> {
        set(&self.folder, "cgroup.procs", process)
    }

    /// Limits all of it together: `memory` bytes of private memory and `shared` bytes of other, and
    /// so many threads and processes. Whoever comes to the limit of memory ends all of the group.
    pub(in crate::platform) fn limit(
        &self,
        memory: u64,
        shared: u64,
        tasks: u64,
    ) -> io::Result<()> {
        // The host looks for an eighth more than the limit too, once a second.
        let memory = memory.saturating_add(memory / 8);
        let memory = memory.saturating_add(shared).saturating_add(ROOM);
        set(&self.folder, "memory.oom.group", 1)?;
        set(&self.folder, "memory.max", memory)?;
        match set(&self.folder, "memory.swap.max", 0) {
            // There is none in a kernel without swap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        set(&self.folder, "pids.max", tasks)
    }

    /// Ends all that is in it.
    pub(in crate::platform) fn kill(&self) {
        // It may be gone already, and kernels before 5.14 have no such file.
        let _ = set(&self.folder, "cgroup.kill", 1);
    }

    /// Whether the kernel has ended something in it because there was no memory.
    pub(in crate::platform) fn lacked_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events"));
        events.is_ok_and(|events| count(&events, "oom_kill") > 0)
    }

    /// Ends all that is left in it and removes it. What is ended may take its time to be gone.
    pub(in crate::platform) async fn bury(&self) {
        self.kill();
        for doubled in 0..TRIES {
            if is_removed(&self.folder) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1 << doubled)).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        // What still holds it is removed by the next host, or with the service.
        let _ = is_removed(&self.folder);
    }
}

/// Whether a group is no longer there; it is removed if nothing is in it.
fn is_removed(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The number behind `key`; 0 where there is none.
fn count(events: &str, key: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok();
    events.lines().find_map(value).unwrap_or_default()
}

/// Writes to a file of a group that is there: none can be made.
fn set(folder: &Path, name: &str, value: impl ToString) -> io::Result<()> {
    let path = folder.join(name);
    let write = |path: &Path| {
        let mut file = File::options().write(true).open(path)?;
        // In one go: the kernel takes each write for a whole value.
        file.write_all(value.to_string().as_bytes())
    };
    write(&path).map_err(|error| at(&path, &error))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    let text = format!("control group `{}`: {error}", path.display());
    io::Error::new(error.kind(), text)
}
