//! What tells one state of a file from another without reading it. Opens nothing.

use std::fs::Metadata;

/// One state of a file: equal as long as nobody has written to it, replaced it, or changed its mode.
///
/// On Unix: device, inode, size, and both times to the nanosecond; the time of the last change of the inode is the one
/// that `cp -p` and `touch` cannot set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([i128; PARTS]);

#[cfg(unix)]
const PARTS: usize = 5;

#[cfg(not(unix))]
const PARTS: usize = 3;

impl Fingerprint {
    /// The state that `metadata` tells of, following links where the metadata did.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self([
            metadata.dev().into(),
            metadata.ino().into(),
            metadata.size().into(),
            nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        ])
    }

    /// The state that `metadata` tells of: its length and its times, where the system has them.
    #[cfg(not(unix))]
    pub fn of(metadata: &Metadata) -> Self {
        let since = |time: std::io::Result<std::time::SystemTime>| {
            let time = time.ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            i128::try_from(time.as_nanos()).ok()
        };
        Self([
            metadata.len().into(),
            since(metadata.modified()).unwrap_or_default(),
            since(metadata.created()).unwrap_or_default(),
        ])
    }
}
