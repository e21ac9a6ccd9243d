//! Where requests lie while a plugin's workers read them: arenas of equal slots, which are used again
//! and again, because the first touch of a page costs as much as the rest of a call. Knows no worker.
//!
//! One plugin never sees the arenas of another. Memory that workers can read cannot be given back in
//! parts, so an arena that nobody has used for a while goes as a whole.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::protocol::Region;
use crate::call::{Kept, Place};
use crate::platform::{Chunk, Handle, RequestMemory, Side};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The sizes of slots, and how many of each an arena has.
const CLASSES: [(usize, usize); 4] = [(64 * KIB, 16), (MIB, 8), (16 * MIB, 2), (64 * MIB, 1)];

/// All arenas of one plugin.
#[derive(Debug)]
pub(super) struct Arenas {
    /// Tells them from all others.
    token: u64,
    side: Side,
    classes: [Arc<Class>; CLASSES.len()],
    next: AtomicU32,
    started: Instant,
}

/// The free slots of one size.
#[derive(Debug)]
struct Class {
    /// The one that was used last is used next: it is still in the caches, and workers have touched
    /// its pages. Locked for as long as it takes to push or pop.
    free: Mutex<Vec<Parts>>,
    /// When a slot was last taken, in milliseconds since the arenas were made.
    used: AtomicUsize,
}

/// Memory that is shared with all workers of the plugin.
#[derive(Debug)]
pub(super) struct Arena {
    id: u32,
    slots: usize,
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
    chunk: Chunk,
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
    pub(super) fn new(side: Side) -> Self {
        let class = || {
            Arc::new(Class {
                free: Mutex::default(),
                used: AtomicUsize::new(0),
            })
        };
        static TOKENS: AtomicU64 = AtomicU64::new(0);
        Self {
            token: TOKENS.fetch_add(1, Ordering::Relaxed),
            side,
            classes: [class(), class(), class(), class()],
            next: AtomicU32::new(0),
            started: Instant::now(),
        }
    }

    /// A slot for `length` bytes.
    ///
    /// # Errors
    /// When the system has no memory or descriptor left.
    pub(super) fn take(&self, length: usize) -> io::Result<Slot> {
        let fitting = CLASSES.iter().position(|(size, _)| length <= *size);
        let Some(class) = fitting else {
            let parts = self.add(length, 1)?.swap_remove(0);
            return Ok(self.slot(parts, length, None));
        };
        let home = &self.classes[class];
        home.used.store(self.now(), Ordering::Relaxed);
        let free = home.free().pop();
        let parts = match free {
            Some(parts) => parts,
            None => self.grow(class)?,
        };
        Ok(self.slot(parts, length, Some(Arc::clone(home))))
    }

    /// Whether a slot is one of these arenas', so that the plugin's workers may see it.
    pub(super) fn owns(&self, slot: &Slot) -> bool {
        slot.owner == self.token
    }

    /// Lets go of the arenas of sizes that nobody has taken for `idle`.
    pub(super) fn retire(&self, idle: Duration) {
        let now = self.now();
        let long = |class: &&Arc<Class>| {
            let unused = now.saturating_sub(class.used.load(Ordering::Relaxed));
            unused as u128 >= idle.as_millis()
        };
        for class in self.classes.iter().filter(long) {
            let mut free = class.free();
            let whole = |arena: &Arc<Arena>| {
                let parts = free.iter().filter(|it| Arc::ptr_eq(&it.arena, arena));
                parts.count() == arena.slots
            };
            let goes: Vec<_> = free.iter().map(|parts| whole(&parts.arena)).collect();
            let mut goes = goes.into_iter();
            let gone = free.extract_if(.., |_| goes.next().unwrap_or_default());
            let gone: Vec<_> = gone.collect();
            drop(free);
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
        let (size, slots) = CLASSES[class];
        let mut parts = self.add(size, slots)?;
        let first = parts.swap_remove(0);
        self.classes[class].free().extend(parts);
        Ok(first)
    }

    fn add(&self, size: usize, slots: usize) -> io::Result<Vec<Parts>> {
        let (memory, chunks) = RequestMemory::create(&self.side, &vec![size; slots])?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let arena = Arc::new(Arena { id, slots, memory });
        let parts = chunks.into_iter().enumerate().map(|(index, chunk)| Parts {
            arena: Arc::clone(&arena),
            index,
            chunk,
        });
        Ok(parts.collect())
    }

    fn now(&self) -> usize {
        usize::try_from(self.started.elapsed().as_millis()).unwrap_or(usize::MAX)
    }
}

impl Class {
    fn free(&self) -> MutexGuard<'_, Vec<Parts>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
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
            home.free().push(parts);
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn arenas() -> Arenas {
        Arenas::new(Side::Linux)
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

    #[test]
    fn an_arena_goes_once_all_its_slots_are_idle() {
        let arenas = arenas();
        let (busy, idle) = (arenas.take(10).unwrap(), arenas.take(MIB).unwrap());
        let gone = Arc::downgrade(idle.arena());
        drop(idle);
        arenas.retire(Duration::from_secs(60));
        assert!(gone.upgrade().is_some());
        arenas.retire(Duration::ZERO);
        assert!(gone.upgrade().is_none());
        let arena = Arc::downgrade(busy.arena());
        assert!(arena.upgrade().is_some());
        drop(busy);
        arenas.retire(Duration::ZERO);
        assert!(arena.upgrade().is_none());
    }
}
