//! The bytes of a picture on their way from a file to a daemon: a large one is read as it is sent.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::names::Digest;

/// Up to so many bytes are read once, and kept until they are sent.
const SMALL: usize = 1 << 20;
/// How many bytes are read at a time.
const BLOCK: usize = 64 << 10;
/// As many of the first bytes as are looked at to tell the type.
const HEAD: usize = 8 << 10;

/// A picture that was read.
pub(super) struct Picture {
    /// Its size.
    pub(super) bytes: u64,
    /// What its bytes are known by.
    pub(super) sha256: Digest,
    /// The MIME type, as far as its bytes tell.
    pub(super) mime_type: Option<&'static str>,
    /// All of it, if it is small.
    kept: Option<Vec<u8>>,
}

impl Picture {
    /// Reads all of it.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        // Who opens a pipe may wait for ever.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        let room = SMALL as u64 + 1;
        (&mut file).take(room).read_to_end(&mut head)?;
        let mime_type = infer::get(&head[..head.len().min(HEAD)]).map(|kind| kind.mime_type());
        let mut bytes = head.len() as u64;
        let mut hasher = Sha256::new_with_prefix(&head);
        let is_small = head.len() <= SMALL;
        let kept = is_small.then_some(head);
        if !is_small {
            let mut block = vec![0; BLOCK];
            while let read @ 1.. = file.read(&mut block)? {
                hasher.update(&block[..read]);
                bytes += read as u64;
            }
        }
        Ok(Self {
            bytes,
            sha256: Digest::new(hasher.finalize().into()),
            mime_type,
            kept,
        })
    }

    /// Whether all of it is sent in one go.
    pub(super) fn is_small(&self) -> bool {
        self.kept.is_some()
    }

    /// The bytes again, from the first.
    pub(super) fn body(&self, path: &Path) -> io::Result<Body<'_>> {
        Ok(match &self.kept {
            Some(bytes) => Body::Kept(Cursor::new(bytes)),
            None => Body::Again(Again {
                file: File::open(path)?,
                hasher: Sha256::new(),
                left: self.bytes,
                expected: self.sha256,
                problem: None,
            }),
        })
    }
}

/// The bytes of a picture, to be sent.
pub(super) enum Body<'a> {
    Kept(Cursor<&'a Vec<u8>>),
    Again(Again),
}

/// A file that is read a second time.
pub(super) struct Again {
    file: File,
    hasher: Sha256,
    left: u64,
    expected: Digest,
    problem: Option<String>,
}

impl Body<'_> {
    /// Why its file could not be read as it was before.
    pub(super) fn problem(self) -> Option<String> {
        match self {
            Self::Kept(_) => None,
            Self::Again(again) => again.problem,
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Kept(bytes) => bytes.read(buffer),
            Self::Again(again) => again
                .next(buffer)
                .inspect_err(|error| again.problem = Some(error.to_string())),
        }
    }
}

impl Again {
    /// Never gives the last bytes of a file that is another than before: it would be submitted under a key that is
    /// not its own.
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let changed = || io::Error::other("it changed while it was sent");
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(changed());
        }
        self.hasher.update(&buffer[..read]);
        self.left -= read as u64;
        let is_same = || Digest::new(self.hasher.clone().finalize().into()) == self.expected;
        if self.left == 0 && !is_same() {
            return Err(changed());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn what_is_sent_is_what_was_read() {
        for size in [0, 1, SMALL, SMALL + 1, 3 * SMALL + 7] {
            let mut bytes: Vec<_> = (0..size).map(|at| (at % 251) as u8).collect();
            if size > 8 {
                bytes[..8].copy_from_slice(b"\x89PNG\r\n\x1a\n");
            }
            let file = file(&bytes);
            let picture = Picture::read(file.path()).unwrap();
            let mut sent = Vec::new();
            let mut body = picture.body(file.path()).unwrap();
            body.read_to_end(&mut sent).unwrap();
            assert!(sent == bytes, "{size}");
            assert_eq!(body.problem(), None);
            assert_eq!(picture.bytes, size as u64);
            assert_eq!(picture.is_small(), size <= SMALL);
            let digest = Digest::new(Sha256::digest(&bytes).into());
            assert_eq!(picture.sha256, digest);
            assert_eq!(picture.mime_type, (size > 8).then_some("image/png"));
        }
    }

    #[test]
    fn a_file_that_changed_is_never_sent_whole() {
        let mut bytes = vec![7; SMALL + BLOCK];
        let file = file(&bytes);
        let picture = Picture::read(file.path()).unwrap();
        let shorter = bytes[1..].to_vec();
        let longer = [&bytes[..], b"x"].concat();
        bytes[0] = 8;
        for (changed, sent_at_most) in [(bytes, SMALL + BLOCK - 1), (shorter, SMALL + BLOCK - 1)] {
            fs::write(file.path(), changed).unwrap();
            let mut body = picture.body(file.path()).unwrap();
            let mut sent = Vec::new();
            body.read_to_end(&mut sent).unwrap_err();
            assert!(sent.len() <= sent_at_most);
            let problem = body.problem().unwrap();
            assert_eq!(problem, "it changed while it was sent");
        }
        // What came behind the end is another matter.
        fs::write(file.path(), longer).unwrap();
        let mut sent = Vec::new();
        let mut body = picture.body(file.path()).unwrap();
        body.read_to_end(&mut sent).unwrap();
        assert_eq!(sent.len(), SMALL + BLOCK);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Picture::read(folder.path()).is_err());
        assert!(Picture::read(&folder.path().join("gone")).is_err());
    }
}
