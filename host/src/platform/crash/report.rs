//! The layout of the page in which a dying process says why, and its reading. Whoever dies may have
//! written anything into it, on purpose or not: what is read is plausible and bounded, not true.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::signals::{FATAL, signal_name};
use crate::platform::PAGE;

/// The most frames of a backtrace.
pub(super) const FRAMES: usize = 64;
/// The seat of a thread that has none.
pub(super) const NO_SEAT: u32 = u32::MAX;

/// Who dies writes; nothing else is to be read yet.
pub(super) const CLAIMED: u32 = 1;
/// All but the backtrace can be read, and of that as much as there is.
pub(super) const FACTS: u32 = 2;
/// The backtrace is whole.
pub(super) const COMPLETE: u32 = 3;

/// More data than any address space here holds.
const IMPLAUSIBLE_DATA: u64 = 1 << 47;
/// The `si_code` with which Linux says that the processor named no address.
const SI_KERNEL: i32 = 0x80;

/// The page. Another process reads it and foreign code may write it, so every field is atomic.
#[repr(C)]
pub(super) struct Page {
    pub(super) stage: AtomicU32,
    pub(super) signal: AtomicU32,
    pub(super) code: AtomicU32,
    pub(super) seat: AtomicU32,
    pub(super) address: AtomicU64,
    pub(super) ip: AtomicU64,
    pub(super) data: AtomicU64,
    pub(super) thread: AtomicU32,
    pub(super) frames: AtomicU32,
    pub(super) thread_name: [AtomicU8; 16],
    pub(super) backtrace: [AtomicU64; FRAMES],
}

const _: () = assert!(size_of::<Page>() <= PAGE && align_of::<Page>() <= 8);

/// What a process said of its own death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// The signal that ended it.
    pub signal: i32,
    /// The signal's `si_code`: what raised it.
    pub code: i32,
    /// The address that could not be read, written or executed, where the signal has one.
    pub address: Option<u64>,
    /// The instruction at which it happened; 0 where it is not known.
    pub ip: u64,
    /// The thread's name, escaped; its number where it has no name.
    pub thread: String,
    /// The seat that the thread worked for.
    pub seat: Option<u32>,
    /// Bytes of data and stacks that the process had at that time.
    pub data: Option<u64>,
    /// The instruction, then the return addresses of its callers, innermost first.
    pub backtrace: Vec<u64>,
    /// Whether the backtrace is whole, as far as it fits.
    pub complete: bool,
}

impl CrashReport {
    /// The signal's name, such as `SIGSEGV`.
    pub fn signal_name(&self) -> String {
        signal_name(self.signal)
    }
}

/// Reads a page; `None` where nothing was reported, or nothing that a handler writes.
pub fn parse(page: &[u8; PAGE]) -> Option<CrashReport> {
    let stage = u32_at(page, offset_of!(Page, stage));
    if !(FACTS..=COMPLETE).contains(&stage) {
        return None;
    }
    let signal = i32_at(page, offset_of!(Page, signal));
    if !FATAL.iter().any(|known| known.0 == signal) {
        return None;
    }
    let code = i32_at(page, offset_of!(Page, code));
    let address = u64_at(page, offset_of!(Page, address));
    let seat = u32_at(page, offset_of!(Page, seat));
    let data = u64_at(page, offset_of!(Page, data));
    Some(CrashReport {
        signal,
        code,
        address: has_address(signal, code).then_some(address),
        ip: u64_at(page, offset_of!(Page, ip)),
        thread: thread(page),
        seat: (seat != NO_SEAT).then_some(seat),
        data: (1..IMPLAUSIBLE_DATA).contains(&data).then_some(data),
        backtrace: backtrace(page),
        complete: stage == COMPLETE,
    })
}

/// Only the processor names an address; where a process sent the signal, other facts lie there.
#[cfg(unix)]
pub(super) fn has_address(signal: i32, code: i32) -> bool {
    let by_processor = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
    by_processor.contains(&signal) && code > 0 && code != SI_KERNEL
}

#[cfg(not(unix))]
pub(super) fn has_address(_: i32, code: i32) -> bool {
    code > 0 && code != SI_KERNEL
}

fn thread(page: &[u8; PAGE]) -> String {
    let start = offset_of!(Page, thread_name);
    let name = page[start..]
        .iter()
        .take(16)
        .copied()
        .take_while(|byte| *byte != 0);
    let name: Vec<u8> = name.collect();
    if name.is_empty() {
        return format!("thread {}", u32_at(page, offset_of!(Page, thread)));
    }
    String::from_utf8_lossy(&name).escape_debug().to_string()
}

fn backtrace(page: &[u8; PAGE]) -> Vec<u64> {
    let start = offset_of!(Page, backtrace);
    let frames = u32_at(page, offset_of!(Page, frames)) as usize;
    (0..frames.min(FRAMES))
        .map(|frame| u64_at(page, start + frame * size_of::<u64>()))
        .collect()
}

fn u32_at(page: &[u8; PAGE], at: usize) -> u32 {
    page[at..]
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn i32_at(page: &[u8; PAGE], at: usize) -> i32 {
    u32_at(page, at).cast_signed()
}

fn u64_at(page: &[u8; PAGE], at: usize) -> u64 {
    page[at..]
        .first_chunk()
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(parts: &[(usize, &[u8])]) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        for (at, bytes) in parts {
            page[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        page
    }

    fn died(signal: i32, code: i32, parts: &[(usize, &[u8])]) -> Option<CrashReport> {
        let mut page = page(parts);
        page[..4].copy_from_slice(&COMPLETE.to_ne_bytes());
        page[4..8].copy_from_slice(&signal.to_ne_bytes());
        page[8..12].copy_from_slice(&code.to_ne_bytes());
        parse(&page)
    }

    #[test]
    fn only_what_a_handler_writes_is_a_report() {
        assert_eq!(parse(&[0; PAGE]), None);
        assert_eq!(parse(&[0xff; PAGE]), None);
        let claimed = [(0, CLAIMED.to_ne_bytes()), (4, libc::SIGSEGV.to_ne_bytes())];
        let claimed = claimed.each_ref().map(|(at, bytes)| (*at, &bytes[..]));
        assert_eq!(parse(&page(&claimed)), None);
        for signal in [0, -1, 77, libc::SIGKILL, libc::SIGTERM, i32::MAX] {
            assert_eq!(died(signal, 0, &[]), None, "{signal}");
        }
        assert_eq!(died(libc::SIGSYS, 1, &[]).unwrap().signal_name(), "SIGSYS");
    }

    #[test]
    fn an_address_is_the_processors() {
        let at = offset_of!(Page, address);
        let address = |signal, code| {
            let report = died(signal, code, &[(at, &7_u64.to_ne_bytes())]);
            report.unwrap().address
        };
        assert_eq!(address(libc::SIGSEGV, 1), Some(7));
        assert_eq!(address(libc::SIGSEGV, SI_KERNEL), None);
        assert_eq!(address(libc::SIGSEGV, -6), None);
        assert_eq!(address(libc::SIGABRT, 1), None);
    }

    #[test]
    fn what_was_written_is_bounded_and_escaped() {
        let report = died(
            libc::SIGBUS,
            2,
            &[
                (offset_of!(Page, frames), &u32::MAX.to_ne_bytes()),
                (offset_of!(Page, data), &u64::MAX.to_ne_bytes()),
                (offset_of!(Page, thread_name), b"\x1b[2J\xff'x\n"),
            ],
        )
        .unwrap();
        assert_eq!(report.backtrace.len(), FRAMES);
        assert_eq!(report.data, None);
        assert_eq!(report.thread, "\\u{1b}[2J\u{fffd}\\'x\\n");
        let nameless = died(
            libc::SIGBUS,
            2,
            &[(offset_of!(Page, thread), &12_u32.to_ne_bytes())],
        );
        assert_eq!(nameless.unwrap().thread, "thread 12");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(
            noise in prop::collection::vec(any::<u8>(), size_of::<Page>()),
            stage in 0_u32..5,
            signal in 0_i32..40,
        ) {
            let mut page = [0; PAGE];
            page[..noise.len()].copy_from_slice(&noise);
            let _ = parse(&page);
            page[..4].copy_from_slice(&stage.to_ne_bytes());
            page[4..8].copy_from_slice(&signal.to_ne_bytes());
            let report = parse(&page);
            let is_report = matches!(stage, 2 | 3) && FATAL.iter().any(|it| it.0 == signal);
            prop_assert_eq!(report.is_some(), is_report);
            if let Some(report) = report {
                prop_assert!(report.backtrace.len() <= FRAMES);
                let longest = 16 * "\\u{10ffff}".len();
                prop_assert!(report.thread.len() <= longest);
                prop_assert!(!report.thread.contains(char::is_control));
            }
        }
    }
}
