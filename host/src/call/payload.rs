//! Where the bytes of an image are, and how they get there. Knows no lane.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Where the bytes of an image are.
#[derive(Clone, Debug)]
pub enum Payload {
    /// In memory of the host's own.
    Heap(Bytes),
    /// In memory of a lane's own, or in what stands in for it.
    Slot(Arc<dyn Kept>),
}

impl Payload {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Slot(kept) => kept.as_slice(),
        }
    }
}

/// Memory in which an image is being put together.
pub trait Place: Send {
    /// As many bytes as were asked for; what they hold means nothing.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// The first `length` of them, which nobody changes from now on. No more than there are count.
    fn keep(self: Box<Self>, length: usize) -> Arc<dyn Kept>;
}

/// An image in memory of a lane's own: the lane finds its own again by downcast, and reads all
/// other as bytes.
pub trait Kept: Any + Send + Sync + fmt::Debug {
    /// The bytes.
    fn as_slice(&self) -> &[u8];
}

/// A place in the host's own memory, where no lane offers one.
pub struct HeapPlace(Vec<u8>);

impl HeapPlace {
    /// A place for `bytes` bytes. The system gives memory only for those that are written.
    pub fn new(bytes: usize) -> Self {
        Self(vec![0; bytes])
    }
}

impl Place for HeapPlace {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn keep(mut self: Box<Self>, length: usize) -> Arc<dyn Kept> {
        self.0.truncate(length);
        Arc::new(OnHeap(self.0))
    }
}

struct OnHeap(Vec<u8>);

impl Kept for OnHeap {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for OnHeap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnHeap({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_tells_its_own_memory_from_the_heaps() {
        let mut place: Box<dyn Place> = Box::new(HeapPlace::new(4));
        place.bytes_mut()[..3].copy_from_slice(b"abc");
        let kept = place.keep(3);
        assert_eq!(kept.as_slice(), b"abc");
        let any: &dyn Any = &*kept;
        assert!(any.is::<OnHeap>() && !any.is::<HeapPlace>());
        assert_eq!(Payload::Slot(kept).as_slice(), b"abc");
    }
}
