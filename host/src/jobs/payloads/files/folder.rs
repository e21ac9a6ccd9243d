//! How the file of a payload comes and goes, so that no order of steps loses one that was put: neither between
//! threads nor between hosts that share the folder, and wherever a host is killed. Nobody holds a lock.
//!
//! - A new file appears under its name at once and whole, after its bytes are durable.
//! - To put what is there is to set its time, and then to look whether it still is there: if not, it is written anew.
//! - To remove a file is to rename it aside, and then to look at its time: if somebody has set it, it is renamed
//!   back. So whoever sets the time and then sees the name knows that it stays.
//! - What lies aside counts as there. A sweep puts back what another has left aside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use fail::fail_point;

use super::durable;
use super::entry::{self, Entry, entries, found, holds, is_older};
use crate::names::Digest;

/// How often a step is tried when files and folders go meanwhile.
const TRIES: usize = 3;

/// A folder of payloads, with a shard for each first byte of a digest.
pub(super) struct Folder {
    path: PathBuf,
    /// The shards whose own names this process knows to be durable.
    durable: [AtomicBool; 256],
    /// Whether names could not be brought to rest once: what is there may then not be durable, and whoever asks
    /// again is not told.
    is_doubtful: AtomicBool,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        durable::make_folder(&path)?;
        fs::read_dir(&path)?;
        Ok(Self {
            path,
            durable: [const { AtomicBool::new(false) }; 256],
            is_doubtful: AtomicBool::new(false),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn put(&self, sha256: Digest, data: &[u8]) -> io::Result<()> {
        for _ in 1..TRIES {
            match self.try_put(sha256, data) {
                // The folder, or what was just written, was taken away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        self.try_put(sha256, data)
    }

    pub(super) fn read(&self, sha256: Digest) -> io::Result<Option<Vec<u8>>> {
        let shard = self.shard(sha256.bytes()[0]);
        for _ in 0..TRIES {
            if let Some(bytes) = found(fs::read(self.file(sha256)))? {
                return Ok(Some(bytes));
            }
            let mut aside = entries(&shard)?;
            aside.retain(|path| Entry::of(path) == Some(Entry::Aside(sha256)));
            for path in aside {
                if let Some(bytes) = found(fs::read(path))? {
                    return Ok(Some(bytes));
                }
            }
        }
        Ok(None)
    }

    /// Those of a shard that nobody has put since. Also tidies up after hosts that were killed.
    pub(super) fn old(&self, shard: u8, before: SystemTime) -> io::Result<Vec<Digest>> {
        let mut old = Vec::new();
        for path in entries(&self.shard(shard))? {
            let Some(entry) = Entry::of(&path) else {
                continue;
            };
            if !is_older(&path, before)? {
                continue;
            }
            match entry {
                Entry::Whole(sha256) => old.push(sha256),
                Entry::Aside(sha256) => self.put_back(sha256, &path)?,
                Entry::Part => found(fs::remove_file(&path)).map(drop)?,
            }
        }
        Ok(old)
    }

    /// Removes a payload, unless somebody has put it since. Whether it did.
    pub(super) fn remove(&self, sha256: Digest, before: SystemTime) -> io::Result<bool> {
        let file = self.file(sha256);
        let aside = entry::aside(&file);
        if !is_older(&file, before)? || found(fs::rename(&file, &aside))?.is_none() {
            return Ok(false);
        }
        if is_older(&aside, before)? {
            return Ok(found(fs::remove_file(&aside))?.is_some());
        }
        self.put_back(sha256, &aside)?;
        Ok(false)
    }

    fn try_put(&self, sha256: Digest, data: &[u8]) -> io::Result<()> {
        if self.is_doubtful.load(Ordering::Relaxed) || !self.renew(sha256, data)? {
            self.write(sha256, data)?;
        }
        self.sync(sha256).inspect_err(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                self.is_doubtful.store(true, Ordering::Relaxed);
            }
        })
    }

    /// Sets the time of a file that holds these bytes. Whether there is one, and still is.
    fn renew(&self, sha256: Digest, data: &[u8]) -> io::Result<bool> {
        let path = self.file(sha256);
        let Some(mut file) = found(OpenOptions::new().read(true).write(true).open(&path))? else {
            return Ok(false);
        };
        // Read at all because what the disk has damaged is to be written anew.
        if !holds(&mut file, data)? {
            return Ok(false);
        }
        file.set_modified(SystemTime::now())?;
        Ok(found(File::open(&path))?.is_some())
    }

    fn write(&self, sha256: Digest, data: &[u8]) -> io::Result<()> {
        let shard = self.shard(sha256.bytes()[0]);
        if !shard.is_dir() {
            durable::make_folder(&shard)?;
        }
        let mut part = tempfile::Builder::new()
            .prefix("")
            .suffix(entry::PART)
            .tempfile_in(&shard)?;
        part.write_all(data)?;
        // By this host's own clock, and exactly: the system's own times lag, and a file server has its own.
        part.as_file().set_modified(SystemTime::now())?;
        part.as_file().sync_all()?;
        fail_point!("payload.before_rename");
        part.persist(self.file(sha256)).map_err(|it| it.error)?;
        fail_point!("payload.after_rename");
        Ok(())
    }

    /// Brings the name of a file to rest, and that of its shard: another may have made it a moment ago.
    fn sync(&self, sha256: Digest) -> io::Result<()> {
        let first = sha256.bytes()[0];
        let is_durable = &self.durable[usize::from(first)];
        if !is_durable.load(Ordering::Relaxed) {
            durable::sync_folder(&self.path)?;
            is_durable.store(true, Ordering::Relaxed);
        }
        durable::sync_folder(&self.shard(first))
    }

    /// Gives what lies aside its name again, as if it were put now; where somebody has written it anew, that stays.
    fn put_back(&self, sha256: Digest, aside: &Path) -> io::Result<()> {
        let file = self.file(sha256);
        if file.exists() {
            return found(fs::remove_file(aside)).map(drop);
        }
        let Some(opened) = found(OpenOptions::new().write(true).open(aside))? else {
            return Ok(());
        };
        opened.set_modified(SystemTime::now())?;
        if found(fs::rename(aside, &file))?.is_some() {
            durable::sync_folder(&self.shard(sha256.bytes()[0]))?;
        }
        Ok(())
    }

    fn shard(&self, first: u8) -> PathBuf {
        self.path.join(format!("{first:02x}"))
    }

    fn file(&self, sha256: Digest) -> PathBuf {
        self.shard(sha256.bytes()[0]).join(sha256.to_string())
    }
}
