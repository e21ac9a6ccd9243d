//! An allocator whose memory nobody else can free: each block has a head of 16 bytes with a mark.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::abort;

struct Marked;

#[global_allocator]
static ALLOCATOR: Marked = Marked;

const MARK: u64 = 0x6275_6c6b_6865_6164;

// SAFETY: every block is one of the system's, larger by a head that keeps the block's alignment.
unsafe impl GlobalAlloc for Marked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((whole, offset)) = whole(layout) else {
            return std::ptr::null_mut();
        };
        // SAFETY: the head makes the size other than zero.
        let start = unsafe { System.alloc(whole) };
        if start.is_null() {
            return start;
        }
        // SAFETY: the block has room for the head before `offset`.
        unsafe {
            let block = start.add(offset);
            block.sub(16).cast::<u64>().write_unaligned(MARK);
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: what came from `alloc` has a head; what did not ends the process here.
        unsafe {
            let head = block.sub(16).cast::<u64>();
            if head.read_unaligned() != MARK {
                abort();
            }
            head.write_unaligned(0);
            let (whole, offset) = whole(layout).unwrap_or_else(|| abort());
            System.dealloc(block.sub(offset), whole);
        }
    }
}

fn whole(layout: Layout) -> Option<(Layout, usize)> {
    Layout::new::<[u128; 1]>().extend(layout).ok()
}
