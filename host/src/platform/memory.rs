//! Memory that the host shares with its workers: requests, which workers can only read, and
//! replies, which they write and which the host copies out. Knows nothing of what lies in it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use memmap2::{MmapOptions, MmapRaw};

use super::crash::{self, CrashReport};
use super::handle::Handle;
use super::side::Side;

/// The size of the first page, which holds flags or a report and no data.
pub const PAGE: usize = 4096;

/// What the other process may do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theirs {
    Read,
    Write,
}

/// Memory that was made by this process.
#[derive(Debug)]
struct Made {
    map: MmapRaw,
    file: File,
    /// Where it is a file with a name.
    path: Option<PathBuf>,
}

impl Made {
    fn new(side: &Side, size: usize, theirs: Theirs) -> io::Result<Self> {
        match side {
            #[cfg(target_os = "linux")]
            Side::Linux => {
                let file = super::linux::memory::create(size)?;
                let map = MmapOptions::new().len(size).map_raw(&file)?;
                // Only now: no writable mapping can be made once it is sealed.
                super::linux::memory::seal(&file, theirs)?;
                Ok(Self {
                    map,
                    file,
                    path: None,
                })
            }
            Side::Portable(folder) => {
                let (file, path) = super::portable::memory::create(folder, size)?;
                let map = MmapOptions::new().len(size).map_raw(&file)?;
                Ok(Self {
                    map,
                    file,
                    path: Some(path),
                })
            }
        }
    }

    fn handle(&self) -> io::Result<Handle> {
        match &self.path {
            Some(path) => Handle::of_path(path),
            #[cfg(unix)]
            None => Ok(Handle::Descriptor(self.file.try_clone()?.into())),
            #[cfg(not(unix))]
            None => Err(super::handle::foreign()),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Where it cannot be removed, the host's next start does.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Memory for requests: the host writes, workers read.
#[derive(Debug)]
pub struct RequestMemory(Made);

impl RequestMemory {
    /// New memory with one page of flags, and behind it `sizes` bytes for chunks, in that order.
    ///
    /// # Errors
    /// When the system has none, or no descriptor.
    pub fn create(side: &Side, sizes: &[usize]) -> io::Result<(Arc<Self>, Vec<Chunk>)> {
        let total = sizes.iter().sum::<usize>() + PAGE;
        let memory = Arc::new(Self(Made::new(side, total, Theirs::Read)?));
        let mut offset = PAGE;
        let chunks = sizes.iter().map(|&size| {
            let range = offset..offset + size;
            offset = range.end;
            Chunk {
                memory: Arc::clone(&memory),
                range,
            }
        });
        let chunks = chunks.collect();
        Ok((memory, chunks))
    }

    /// The way to it for a worker.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn handle(&self) -> io::Result<Handle> {
        self.0.handle()
    }

    /// All its bytes.
    pub fn size(&self) -> usize {
        self.0.map.len()
    }

    /// One of the flags of its first page, which both sides see at once.
    pub fn flag(&self, index: usize) -> &AtomicBool {
        assert!(index < PAGE, "there are {PAGE} flags");
        // SAFETY: the byte is inside the mapping, which lives as long as `self`; it is zero at first,
        // and only this process writes it, through this type, which knows 0 and 1 only.
        unsafe { AtomicBool::from_ptr(self.0.map.as_mut_ptr().add(index).cast()) }
    }
}

/// A part of request memory that one owner has to himself.
#[derive(Debug)]
pub struct Chunk {
    memory: Arc<RequestMemory>,
    range: Range<usize>,
}

impl Chunk {
    /// The memory that it is part of.
    pub fn memory(&self) -> &Arc<RequestMemory> {
        &self.memory
    }

    /// Where in that memory it begins.
    pub fn offset(&self) -> usize {
        self.range.start
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range is inside the mapping and no other chunk's, workers cannot write there,
        // and `bytes_mut` needs this chunk for itself.
        unsafe { std::slice::from_raw_parts(self.start(), self.range.len()) }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`; the mapping is writable.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.range.len()) }
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: `RequestMemory::create` has made the range inside the mapping.
        unsafe { self.memory.0.map.as_mut_ptr().add(self.range.start) }
    }
}

/// Memory for replies: a worker writes at any time, so nothing here is ever borrowed.
#[derive(Debug)]
pub struct ReplyMemory(Made);

impl ReplyMemory {
    /// New memory with one page for a report, and `size` bytes behind it.
    ///
    /// # Errors
    /// When the system has none, or no descriptor.
    pub fn create(side: &Side, size: usize) -> io::Result<Self> {
        Ok(Self(Made::new(side, size + PAGE, Theirs::Write)?))
    }

    /// The way to it for a worker.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn handle(&self) -> io::Result<Handle> {
        self.0.handle()
    }

    /// The bytes behind the first page.
    pub fn size(&self) -> usize {
        self.0.map.len() - PAGE
    }

    /// What its first page says of a crash, if anything.
    pub fn crash(&self) -> Option<CrashReport> {
        let mut page = [0; PAGE];
        // SAFETY: the page has so many bytes, and is nobody else's.
        unsafe { self.copy(0, page.as_mut_ptr(), PAGE) };
        crash::parse(&page)
    }

    /// A copy of `length` bytes from `offset` behind the first page; nothing if there are not so many.
    pub fn read(&self, offset: usize, length: usize) -> Option<Vec<u8>> {
        let end = offset.checked_add(length)?;
        if end > self.size() {
            return None;
        }
        // Not filled with zeros first: large replies would be written twice.
        let mut bytes = Vec::with_capacity(length);
        // SAFETY: there is room for so many bytes, which are all there after the copy.
        unsafe {
            self.copy(PAGE + offset, bytes.as_mut_ptr(), length);
            bytes.set_len(length);
        }
        Some(bytes)
    }

    /// Copies `length` bytes to `to`.
    ///
    /// # Safety
    /// There must be room for so many bytes, which are not in this memory.
    unsafe fn copy(&self, offset: usize, to: *mut u8, length: usize) {
        assert!(offset + length <= self.0.map.len());
        let from = self.0.map.as_ptr();
        // SAFETY: the range was just seen to be inside the mapping, the caller vouches for `to`. A
        // worker may write at the same time: then the bytes are any bytes, which is what they are
        // taken for.
        unsafe { std::ptr::copy_nonoverlapping(from.add(offset), to, length) };
    }
}

/// Requests as a worker sees them.
#[derive(Debug)]
pub struct MappedRequests(MmapRaw);

impl MappedRequests {
    /// Maps what a handle of [`RequestMemory`] is of.
    ///
    /// # Errors
    /// When it cannot be opened or mapped.
    pub fn map(handle: Handle) -> io::Result<Self> {
        let file = handle.into_file(false)?;
        Ok(Self(MmapOptions::new().map_raw_read_only(&file)?))
    }

    /// The bytes of one request, which the host leaves alone until it was answered.
    pub fn bytes(&self, offset: usize, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length)?;
        if offset < PAGE || end > self.0.len() {
            return None;
        }
        // SAFETY: the range is inside the mapping, and the host writes no chunk that is in a call.
        Some(unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(offset), length) })
    }

    /// One of the flags of the first page.
    pub fn flag(&self, index: usize) -> Option<&AtomicBool> {
        if index >= PAGE.min(self.0.len()) {
            return None;
        }
        // SAFETY: the byte is inside the mapping; the host writes 0 and 1 only, and all that is done
        // here with a shared reference to the flag is to load it, for which it need not be writable.
        Some(unsafe { AtomicBool::from_ptr(self.0.as_mut_ptr().add(index).cast()) })
    }
}

/// Replies as a worker sees them. Mapped until its process ends: a crash is reported there.
#[derive(Debug)]
pub struct MappedReplies(&'static MmapRaw);

impl MappedReplies {
    /// Maps what a handle of [`ReplyMemory`] is of.
    ///
    /// # Errors
    /// When it cannot be opened or mapped.
    pub fn map(handle: Handle) -> io::Result<Self> {
        let file = handle.into_file(true)?;
        let map = MmapOptions::new().map_raw(&file)?;
        Ok(Self(Box::leak(Box::new(map))))
    }

    /// The bytes behind the first page.
    pub fn size(&self) -> usize {
        self.0.len().saturating_sub(PAGE)
    }

    /// Copies `bytes` to `offset` behind the first page, if there is room.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let Some(end) = offset.checked_add(bytes.len()) else {
            return false;
        };
        if end > self.size() {
            return false;
        }
        let to = self.0.as_mut_ptr();
        // SAFETY: the range is inside the mapping; the host reads it only after it was told to, and
        // takes the bytes for any bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.add(PAGE + offset), bytes.len());
        }
        true
    }

    /// The first page, which `write` leaves alone.
    pub(super) fn report(&self) -> NonNull<u8> {
        NonNull::new(self.0.as_mut_ptr()).expect("a mapping is nowhere at null")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn sides() -> Vec<(Side, tempfile::TempDir)> {
        let folder = || tempfile::tempdir().unwrap();
        let portable = folder();
        let side = Side::portable(portable.path().to_owned());
        let fast = Side::fast().map(|side| (side, folder()));
        fast.into_iter().chain([(side, portable)]).collect()
    }

    #[test]
    fn a_worker_sees_requests_and_cannot_write_them() {
        for (side, _folder) in sides() {
            let (memory, mut chunks) = RequestMemory::create(&side, &[8192, 4096]).unwrap();
            chunks[1].bytes_mut()[..3].copy_from_slice(b"one");
            let offset = chunks[1].offset();
            let mapped = MappedRequests::map(memory.handle().unwrap()).unwrap();
            assert_eq!(mapped.bytes(offset, 3), Some(&b"one"[..]));
            assert!(!mapped.flag(7).unwrap().load(Ordering::Relaxed));
            memory.flag(7).store(true, Ordering::Relaxed);
            assert!(mapped.flag(7).unwrap().load(Ordering::Relaxed));
            for (offset, length) in [(0, 1), (PAGE, 1 << 20), (usize::MAX, 2), (PAGE, usize::MAX)] {
                assert_eq!(mapped.bytes(offset, length), None);
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sealed_requests_cannot_be_mapped_to_be_written_nor_cut() {
        let (memory, _chunks) = RequestMemory::create(&Side::Linux, &[4096]).unwrap();
        let file = memory.handle().unwrap().into_file(true).unwrap();
        assert!(MmapOptions::new().map_raw(&file).is_err());
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
    }

    #[test]
    fn the_host_reads_replies_within_their_bounds() {
        for (side, folder) in sides() {
            let memory = ReplyMemory::create(&side, 100).unwrap();
            let mut mapped = MappedReplies::map(memory.handle().unwrap()).unwrap();
            assert!(mapped.write(2, b"two"));
            assert!(!mapped.write(98, b"two") && !mapped.write(usize::MAX, b"two"));
            assert_eq!(memory.read(2, 3), Some(b"two".to_vec()));
            assert_eq!(memory.read(98, 3), None);
            assert_eq!(memory.read(1, usize::MAX), None);
            drop(memory);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
