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
    /// As it came, as long as that is one piece: nobody need copy it.
    Whole {
        /// The first piece.
        bytes: Bytes,
        /// How many bytes it is to have.
        announced: usize,
    },
    /// In memory that grows with it.
    Growing(Vec<u8>),
}

impl Image {
    /// An image of `announced` bytes: in `place`, where there is one.
    pub(super) fn announced(announced: usize, place: Option<Box<dyn Place>>) -> Self {
        match place {
            Some(place) => Self::Placed { place, filled: 0 },
            None => Self::Whole {
                bytes: Bytes::new(),
                announced,
            },
        }
    }

    /// Takes in what comes next.
    ///
    /// # Errors
    /// `malformed_request` where it is more than was announced.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), CallError> {
        match self {
            Self::Placed { place, filled } => {
                let free = place.bytes_mut().get_mut(*filled..);
                let target = free.and_then(|free| free.get_mut(..chunk.len()));
                target
                    .ok_or_else(|| CallError::malformed("the body is longer than it was to be"))?
                    .copy_from_slice(&chunk);
                *filled += chunk.len();
            }
            Self::Whole { bytes, .. } if bytes.is_empty() => *bytes = chunk,
            Self::Whole { bytes, announced } => {
                // The system gives memory only for what is written.
                let mut all = Vec::with_capacity(*announced);
                all.extend_from_slice(bytes);
                all.extend_from_slice(&chunk);
                *self = Self::Growing(all);
            }
            Self::Growing(bytes) => bytes.extend_from_slice(&chunk),
        }
        Ok(())
    }

    /// The image, which is whole.
    pub(super) fn into_payload(self) -> Payload {
        match self {
            Self::Placed { place, filled } => Payload::Slot(place.keep(filled)),
            Self::Whole { bytes, .. } => Payload::Heap(bytes),
            Self::Growing(bytes) => Payload::Heap(Bytes::from(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(pieces: &[Bytes]) -> Payload {
        let announced = pieces.iter().map(Bytes::len).sum();
        let mut image = Image::announced(announced, None);
        pieces
            .iter()
            .for_each(|piece| image.push(piece.clone()).unwrap());
        image.into_payload()
    }

    #[test]
    fn one_piece_is_not_copied_and_several_are_put_together() {
        let piece = |text: &str| Bytes::from(text.to_owned());
        let only = piece("all of it");
        let image = put_together(std::slice::from_ref(&only));
        assert_eq!(image.as_slice().as_ptr(), only.as_ptr());
        let image = put_together(&[piece("in "), piece("three "), piece("pieces")]);
        assert_eq!(image.as_slice(), b"in three pieces");
        assert_eq!(put_together(&[]).as_slice(), b"");
    }
}
