//! A small disk of its own for what is to run out of room. Knows no host.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk in memory, gone with its drop.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One of so many MiB, at this path; `None`, aloud, where mounting is not allowed.
    pub fn mount(at: &Path, mebibytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={mebibytes}m,mode=700"))
            .arg("bulkhead-test")
            .arg(at)
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(at.to_owned())),
            refused => {
                eprintln!("SKIPPED: no disk can be mounted here: {refused:?}");
                None
            }
        }
    }

    /// Takes all room but so many bytes; gives it back with its file.
    pub fn fill_but(&self, bytes: u64) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = File::create(&ballast).unwrap();
        let block = [1; 4096];
        while self.room() > bytes {
            file.write_all(&block).unwrap();
        }
        ballast
    }

    fn room(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is still open keeps it until then; nobody can find it any more.
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|done| done.success()), "it was mounted");
    }
}
