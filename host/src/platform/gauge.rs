//! How much memory this process has in use.

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
        // Sizes in pages, as proc(5) has them: the sixth is data and stack.
        let data = text.split_ascii_whitespace().nth(5);
        let pages: u64 = data.and_then(|data| data.parse().ok()).unwrap_or_default();
        pages * rustix::param::page_size() as u64
    }
}

/// The bytes that a process holds and shares with nobody: what is resident, without files and shared
/// memory, as proc(5) counts them.
#[cfg(target_os = "linux")]
pub(super) fn private_memory(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let mut pages = text.split_ascii_whitespace().skip(1);
    let mut next = || pages.next()?.parse::<u64>().ok();
    let (resident, shared) = (next()?, next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
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
