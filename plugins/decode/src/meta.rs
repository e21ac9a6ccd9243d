//! The EXIF of a picture, in whatever container it lies. One reader for all formats, so that
//! plugins never disagree on which way is up.

use std::io::Cursor;

use exif::{Exif, In, Reader, Tag};
use image::metadata::Orientation;

/// The EXIF fields; `None` where there are none. Of a broken block, what can be read.
pub fn exif(bytes: &[u8]) -> Option<Exif> {
    let mut reader = Reader::new();
    reader
        .continue_on_error(true)
        .read_from_container(&mut Cursor::new(bytes))
        .or_else(|error| error.distill_partial_result(|_| {}))
        .ok()
}

pub(crate) fn orientation(bytes: &[u8]) -> Orientation {
    exif(bytes)
        .and_then(|exif| {
            exif.get_field(Tag::Orientation, In::PRIMARY)?
                .value
                .get_uint(0)
        })
        .and_then(|value| Orientation::from_exif(u8::try_from(value).ok()?))
        .unwrap_or(Orientation::NoTransforms)
}
