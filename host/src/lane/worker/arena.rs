//! Where requests lie while a plugin's workers read them: arenas of equal slots, which are used again
//! and again, because the first touch of a page costs as much as the rest of a call. Knows no worker.
//!
//! One plugin never sees the arenas of another. Memory that workers can read cannot be given back in
//! parts, so an arena that nobody has used for a while goes as a whole; where a host has much that
//! nobody uses, it goes at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::protocol::Region;
use crate::call::{Kept, Place};
use crate::platform::{Chunk, Handle, PAGE, RequestMemory, Side};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How long a small arena may lie idle: making it again costs more than to keep it.
const SMALL_IDLE: Duration = Duration::from_secs(30);
/// How long a large one may: a few of them are much of a machine's memory.
const LARGE_IDLE: Duration = Duration::from_secs(5);

/// The sizes of slots, how many of each an arena has, and how long it may lie idle.
const CLASSES: [(usize, usize, Duration); 4] = [
    (64 * KIB, 16, SMALL_IDLE),
    (MIB, 8, SMALL_IDLE),
    (16 * MIB, 2, LARGE_IDLE),
    (64 * MIB, 1, LARGE_IDLE),
];

/// The most bytes that lie idle in all arenas of a host. Kept memory only saves the first touch of its
/// pages: so much is a burst of sixteen requests of 16 MiB, and far from what a small machine has.
const MOST_IDLE: usize = 256 * MIB;

/// The bytes that lie idle in all arenas of a host, whichever plugin's they are.
#[derive(Debug, Default)]
pub(super) struct IdleBytes(AtomicUsize);

impl IdleBytes {
    /// Counts `bytes` more, unless they are too many.
    fn claim(self: &Arc<Self>, bytes: usize) -> Option<Claim> {
        let more = |idle: usize| idle.checked_add(bytes).filter(|sum| *sum <= MOST_IDLE);
        let relaxed = Ordering::Relaxed;
        self.0.fetch_update(relaxed, relaxed, more).ok()?;
        let idle = Arc::clone(self);
        Some(Claim { idle, bytes })
    }
}

/// Bytes that count as idle until its drop.
#[derive(Debug)]
struct Claim {
    idle: Arc<IdleBytes>,
    bytes: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.idle.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// All arenas of one plugin.
#[derive(Debug)]
pub(super) struct Arenas {
    /// Tells them from all others.
    token: u64,
    side: Side,
    classes: [Arc<Class>; CLASSES.len()],
    next: AtomicU32,
}

/// The arenas with slots of one size.
#[derive(Debug)]
struct Class {
    /// The first that has a free slot is used next, so that few calls at a time use few arenas, and
    /// the others become idle. Locked for as long as it takes to push or pop.
    stocks: Mutex<Vec<Stock>>,
    idle: Arc<IdleBytes>,
}

/// One arena's free slots.
#[derive(Debug)]
struct Stock {
    arena: Arc<Arena>,
    /// The one that was used last is used next: it is still in the caches, and workers have touched
    /// its pages.
    free: Vec<Parts>,
    /// There while all its slots are free.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    since: Instant,
    // Held, not read.
    _claim: Claim,
}

/// Memory that is shared with all workers of the plugin.
#[derive(Debug)]
pub(super) struct Arena {
    id: u32,
    slots: usize,
    /// The bytes that were ever in use, which are those that the system has given.
    touched: AtomicUsize,
    memory: Arc<RequestMemory>,
}

impl Arena {
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn handle(&self) -> io::Result<Handle> {
        self.memory.handle()
    }
}

#[derive(Debug)]
struct Parts {
    arena: Arc<Arena>,
    index: usize,
    /// The most bytes of it that were ever in use.
    touched: usize,
    chunk: Chunk,
}

impl Parts {
    fn touch(&mut self, length: usize) {
        let more = length.saturating_sub(self.touched);
        self.touched += more;
        self.arena.touched.fetch_add(more, Ordering::Relaxed);
    }
}

/// A place for one request, which goes back with its drop.
#[derive(Debug)]
pub(super) struct Slot {
    // There until the drop.
    parts: Option<Parts>,
    length: usize,
    owner: u64,
    /// Where it goes back to; nowhere if its arena was made for it alone.
    home: Option<Arc<Class>>,
}

impl Arenas {
    /// None yet. What lies idle counts in `idle`.
    pub(super) fn new(side: Side, idle: &Arc<IdleBytes>) -> Self {
        let class = || {
            Arc::new(Class {
                stocks: Mutex::default(),
                idle: Arc::clone(idle),
            })
        };
        static TOKENS: AtomicU64 = AtomicU64::new(0);
        Self {
            token: TOKENS.fetch_add(1, Ordering::Relaxed),
            side,
            classes: [class(), class(), class(), class()],
            next: AtomicU32::new(0),
        }
    }

    /// A slot for `length` bytes.
    ///
    /// # Errors
    /// When the system has no memory or descriptor left.
    pub(super) fn take(&self, length: usize) -> io::Result<Slot> {
        let fitting = CLASSES.iter().position(|(size, ..)| length <= *size);
        let Some(class) = fitting else {
            let parts = self.add(length, 1)?.swap_remove(0);
            return Ok(self.slot(parts, length, None));
        };
        let home = &self.classes[class];
        let mut parts = match home.pop() {
            Some(parts) => parts,
            None => self.grow(class)?,
        };
        parts.touch(length);
        Ok(self.slot(parts, length, Some(Arc::clone(home))))
    }

    /// Whether a slot is one of these arenas', so that the plugin's workers may see it.
    pub(super) fn owns(&self, slot: &Slot) -> bool {
        slot.owner == self.token
    }

    /// Lets go of the arenas that have been idle for long.
    pub(super) fn retire(&self, now: Instant) {
        for (class, (_, _, idle)) in self.classes.iter().zip(CLASSES) {
            let rested = |rest: &Rest| now.saturating_duration_since(rest.since) >= idle;
            let mut stocks = class.stocks();
            let gone = stocks.extract_if(.., |stock| stock.rest.as_ref().is_some_and(rested));
            let gone: Vec<_> = gone.collect();
            drop(stocks);
            // Without the lock: it takes a while to undo a mapping.
            drop(gone);
        }
    }

    fn slot(&self, parts: Parts, length: usize, home: Option<Arc<Class>>) -> Slot {
        let slot = Slot {
            parts: Some(parts),
            length,
            owner: self.token,
            home,
        };
        slot.cancelled().store(false, Ordering::Relaxed);
        slot
    }

    fn grow(&self, class: usize) -> io::Result<Parts> {
        let (size, slots, _) = CLASSES[class];
        let mut free = self.add(size, slots)?;
        let first = free.swap_remove(0);
        let stock = Stock {
            arena: Arc::clone(&first.arena),
            free,
            rest: None,
        };
        self.classes[class].stocks().push(stock);
        Ok(first)
    }

    fn add(&self, size: usize, slots: usize) -> io::Result<Vec<Parts>> {
        let (memory, chunks) = RequestMemory::create(&self.side, &vec![size; slots])?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let arena = Arc::new(Arena {
            id,
            slots,
            touched: AtomicUsize::new(PAGE),
            memory,
        });
        let parts = chunks.into_iter().enumerate().map(|(index, chunk)| Parts {
            arena: Arc::clone(&arena),
            index,
            touched: 0,
            chunk,
        });
        Ok(parts.collect())
    }
}

impl Class {
    fn pop(&self) -> Option<Parts> {
        let mut stocks = self.stocks();
        let stock = stocks.iter_mut().find(|stock| !stock.free.is_empty())?;
        stock.rest = None;
        stock.free.pop()
    }

    /// Takes a slot back. Its arena goes if all of it is free, and the host has enough that is idle.
    fn push(&self, parts: Parts) {
        let mut stocks = self.stocks();
        let of_it = |stock: &Stock| Arc::ptr_eq(&stock.arena, &parts.arena);
        let Some(at) = stocks.iter().position(of_it) else {
            // Only arenas go of which no slot is in use.
            return;
        };
        let stock = &mut stocks[at];
        stock.free.push(parts);
        let gone = (stock.is_free() && !stock.lie_down(&self.idle)).then(|| stocks.remove(at));
        drop(stocks);
        // Without the lock: it takes a while to undo a mapping.
        drop(gone);
    }

    fn stocks(&self) -> MutexGuard<'_, Vec<Stock>> {
        self.stocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock {
    fn is_free(&self) -> bool {
        self.free.len() == self.arena.slots
    }

    /// Counts as idle from now on; false if there is no room for that.
    fn lie_down(&mut self, idle: &Arc<IdleBytes>) -> bool {
        let claim = idle.claim(self.arena.touched.load(Ordering::Relaxed));
        self.rest = claim.map(|claim| Rest {
            since: Instant::now(),
            _claim: claim,
        });
        self.rest.is_some()
    }
}

impl Slot {
    /// The memory that it is part of.
    pub(super) fn arena(&self) -> &Arc<Arena> {
        &self.parts().arena
    }

    /// Where its bytes are.
    pub(super) fn region(&self) -> Region {
        Region {
            arena: self.arena().id,
            offset: self.parts().chunk.offset(),
            length: self.length,
        }
    }

    /// The number of its flag.
    pub(super) fn flag(&self) -> u32 {
        u32::try_from(self.parts().index).expect("an arena has a few slots")
    }

    /// Its flag, which the worker looks at.
    pub(super) fn cancelled(&self) -> &AtomicBool {
        let parts = self.parts();
        parts.arena.memory.flag(parts.index)
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("it is there until the drop")
    }
}

impl Place for Slot {
    fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.length;
        let parts = self.parts.as_mut().expect("it is there until the drop");
        &mut parts.chunk.bytes_mut()[..length]
    }

    fn keep(mut self: Box<Self>, length: usize) -> Arc<dyn Kept> {
        assert!(length <= self.length, "no more was asked for");
        self.length = length;
        Arc::new(*self)
    }
}

impl Kept for Slot {
    fn as_slice(&self) -> &[u8] {
        &self.parts().chunk.bytes()[..self.length]
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let (Some(parts), Some(home)) = (self.parts.take(), &self.home) {
            home.push(parts);
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::sync::Weak;

    use super::*;

    fn arenas() -> Arenas {
        Arenas::new(Side::Linux, &Arc::default())
    }

    #[test]
    fn a_slot_is_used_again() {
        let arenas = arenas();
        let first = arenas.take(10).unwrap();
        let (region, arena) = (first.region(), Arc::clone(first.arena()));
        first.cancelled().store(true, Ordering::Relaxed);
        drop(first);
        let again: Vec<_> = (0..16).map(|_| arenas.take(10).unwrap()).collect();
        assert!(again.iter().any(|slot| slot.region() == region));
        assert!(again.iter().all(|slot| Arc::ptr_eq(slot.arena(), &arena)));
        assert!(
            again
                .iter()
                .all(|slot| !slot.cancelled().load(Ordering::Relaxed))
        );
        let one_more = arenas.take(10).unwrap();
        assert!(!Arc::ptr_eq(one_more.arena(), &arena));
    }

    #[test]
    fn slots_do_not_overlap() {
        let arenas = arenas();
        let mut slots: Vec<_> = (0..40).map(|_| arenas.take(64 * KIB).unwrap()).collect();
        for (number, slot) in slots.iter_mut().enumerate() {
            slot.bytes_mut().fill(u8::try_from(number).unwrap());
        }
        for (number, slot) in slots.iter().enumerate() {
            assert!(
                slot.as_slice()
                    .iter()
                    .all(|byte| usize::from(*byte) == number)
            );
        }
    }

    #[test]
    fn any_size_finds_a_place() {
        let arenas = arenas();
        for length in [0, 1, 64 * KIB, 64 * KIB + 1, 16 * MIB, 64 * MIB + 1] {
            let mut slot = Box::new(arenas.take(length).unwrap());
            assert_eq!(slot.bytes_mut().len(), length);
            assert_eq!(slot.keep(length / 2).as_slice().len(), length / 2);
        }
    }

    /// Arenas with one slot each that are in use, and ways to see whether they are still there.
    fn large(arenas: &Arenas, count: usize) -> (Vec<Slot>, Vec<Weak<Arena>>) {
        let slots: Vec<_> = (0..count).map(|_| arenas.take(60 * MIB).unwrap()).collect();
        let watched = slots.iter().map(|slot| Arc::downgrade(slot.arena()));
        let watched = watched.collect();
        (slots, watched)
    }

    fn alive(watched: &[Weak<Arena>]) -> usize {
        let alive = watched.iter().filter(|arena| arena.strong_count() > 0);
        alive.count()
    }

    #[test]
    fn an_arena_goes_once_all_its_slots_are_idle() {
        let arenas = arenas();
        let (busy, idle) = (arenas.take(10).unwrap(), arenas.take(10).unwrap());
        let arena = Arc::downgrade(idle.arena());
        drop(idle);
        let later = |time| Instant::now() + time;
        arenas.retire(later(SMALL_IDLE * 2));
        drop(busy);
        arenas.retire(later(SMALL_IDLE / 2));
        assert!(arena.upgrade().is_some());
        arenas.retire(later(SMALL_IDLE));
        assert!(arena.upgrade().is_none());
    }

    #[test]
    fn an_idle_arena_goes_though_others_of_its_size_are_in_use() {
        let arenas = arenas();
        let (mut slots, watched) = large(&arenas, 3);
        let busy = slots.pop();
        drop(slots);
        arenas.retire(Instant::now() + LARGE_IDLE);
        assert_eq!(alive(&watched), 1);
        drop(busy);
    }

    #[test]
    fn a_trickle_uses_one_arena_whatever_order_a_burst_ended_in() {
        let arenas = arenas();
        let (mut slots, watched) = large(&arenas, 3);
        slots.swap(0, 1);
        drop(slots);
        let used = (0..10).map(|_| arenas.take(60 * MIB).unwrap().arena().id());
        assert_eq!(used.collect::<std::collections::BTreeSet<_>>().len(), 1);
        let one = arenas.take(60 * MIB).unwrap();
        arenas.retire(Instant::now() + LARGE_IDLE);
        assert_eq!(alive(&watched), 1);
        drop(one);
    }

    #[test]
    fn idle_arenas_of_a_host_have_a_limit() {
        let idle = Arc::default();
        let plugins = [(); 2].map(|()| Arenas::new(Side::Linux, &idle));
        let (slots, watched) = large(&plugins[0], 6);
        assert_eq!(idle.0.load(Ordering::Relaxed), 0);
        drop(slots);
        assert_eq!(alive(&watched), 4);
        // It is the host's limit.
        let (slots, others) = large(&plugins[1], 1);
        drop(slots);
        assert_eq!(alive(&others), 0);
        // What is used again is not idle.
        let (again, _) = large(&plugins[0], 1);
        let (slots, others) = large(&plugins[1], 1);
        drop(slots);
        assert_eq!(alive(&others), 1);
        drop(again);
        assert_eq!(alive(&watched), 3);
        drop(plugins);
        assert_eq!(idle.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn only_bytes_that_were_in_use_count_as_idle() {
        let idle = Arc::default();
        let arenas = Arenas::new(Side::Linux, &idle);
        for length in [100, 10_000, 5000] {
            drop(arenas.take(length).unwrap());
        }
        assert_eq!(idle.0.load(Ordering::Relaxed), PAGE + 10_000);
    }
}
