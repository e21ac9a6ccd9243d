//! How much memory a process has in use, as proc(5) counts it in `statm`, and how it gives back what it has not.

/// Tells the bytes of private writable memory: heap, stacks and data.
#[derive(Debug)]
pub struct Gauge(#[cfg(target_os = "linux")] Option<std::fs::File>);

#[cfg(target_os = "linux")]
impl Gauge {
    /// Opened before a sandbox closes the way to it.
    pub fn open() -> Self {
        Self(std::fs::File::open("/proc/self/statm").ok())
    }

    /// The bytes in use now; 0 where that cannot be told.
    pub fn read(&self) -> u64 {
        use std::os::unix::fs::FileExt;
        let mut text = [0; 128];
        let read = self
            .0
            .as_ref()
            .and_then(|file| file.read_at(&mut text, 0).ok());
        let text = str::from_utf8(&text[..read.unwrap_or_default()]).unwrap_or_default();
        bytes(text, DATA).unwrap_or_default()
    }
}

/// Gives memory that was freed back to the system, where the allocator keeps it: for who has needed much for once.
pub fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread, and takes only what nothing points to.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The bytes that a process holds and shares with nobody: what is resident, without files and shared
/// memory.
#[cfg(target_os = "linux")]
pub(super) fn private_memory(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    Some(bytes(&text, RESIDENT)?.saturating_sub(bytes(&text, SHARED)?))
}

/// Where the sizes stand: what is resident, what of it is shared, and data with stacks.
#[cfg(target_os = "linux")]
const RESIDENT: usize = 1;
#[cfg(target_os = "linux")]
const SHARED: usize = 2;
#[cfg(target_os = "linux")]
const DATA: usize = 5;

/// One of the sizes, which are in pages.
#[cfg(target_os = "linux")]
fn bytes(text: &str, field: usize) -> Option<u64> {
    let pages: u64 = text.split_ascii_whitespace().nth(field)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The system does not tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn private_memory(_: u32) -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
impl Gauge {
    /// There is no way.
    pub fn open() -> Self {
        Self()
    }

    /// 0: it cannot be told.
    pub fn read(&self) -> u64 {
        0
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_seen() {
        let gauge = Gauge::open();
        let before = gauge.read();
        let memory = std::hint::black_box(vec![0_u8; 64 << 20]);
        assert!(gauge.read() >= before + (60 << 20));
        drop(memory);
    }
}
