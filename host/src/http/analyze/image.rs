//! An image on its way in: straight into a lane's memory where there is a place for it.

use bytes::Bytes;

use crate::call::{Payload, Place};
use crate::error::CallError;

/// What has arrived of an image.
pub(super) enum Image {
    /// In a place as large as it can become.
    Placed {
        /// Where it is put together.
        place: Box<dyn Place>,
        /// How many bytes are there.
        filled: usize,
    },
    /// In memory that grows with it.
    Growing(Vec<u8>),
}

impl Image {
    /// An image that no larger than `place` is.
    pub(super) fn placed(place: Box<dyn Place>) -> Self {
        Self::Placed { place, filled: 0 }
    }

    /// Takes in what comes next.
    ///
    /// # Errors
    /// `malformed_request` where it is more than was announced.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), CallError> {
        match self {
            Self::Placed { place, filled } => {
                let free = place.bytes_mut().get_mut(*filled..);
                let target = free.and_then(|free| free.get_mut(..chunk.len()));
                target
                    .ok_or_else(|| CallError::malformed("the body is longer than it was to be"))?
                    .copy_from_slice(chunk);
                *filled += chunk.len();
            }
            Self::Growing(bytes) => bytes.extend_from_slice(chunk),
        }
        Ok(())
    }

    /// The image, which is whole.
    pub(super) fn into_payload(self) -> Payload {
        match self {
            Self::Placed { place, filled } => Payload::Slot(place.keep(filled)),
            Self::Growing(bytes) => Payload::Heap(Bytes::from(bytes)),
        }
    }
}
