//! What is said of bytes that are not decoded: what was found, and what would do.

use bulkhead_plugin::Error;
use image::error::LimitErrorKind;
use image::{ImageError, ImageFormat};

use crate::{FORMATS, MAX_ALLOC, MAX_PIXELS, MAX_SIDE};

/// The bytes are no picture that we know.
pub(crate) fn unknown(bytes: &[u8], guess: Option<ImageFormat>) -> Error {
    let accepted = FORMATS.map(|(_, name)| name);
    let found = found(bytes, guess);
    Error::invalid_input(format!(
        "not a picture that can be read: found {found}, accepted are {}",
        accepted.join(", ")
    ))
    .with_detail("found", found)
    .with_detail("accepted", accepted)
}

/// The header or the pixels are broken, cut off, or need too much memory.
pub(crate) fn broken(name: &str, error: &ImageError) -> Error {
    match error {
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::InsufficientMemory => {
            let mebibytes = MAX_ALLOC >> 20;
            let message = format!("the {name} needs more than {mebibytes} MiB to be decoded");
            Error::invalid_input(message).with_detail("max_alloc", MAX_ALLOC)
        }
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            truncated(name)
        }
        _ => Error::invalid_input(format!("the {name} is broken")).because(error),
    }
}

/// The file ends before the picture does.
pub(crate) fn truncated(name: &str) -> Error {
    Error::invalid_input(format!(
        "the {name} is truncated: the file ends before the picture does"
    ))
}

/// The header claims more pixels than are decoded.
pub(crate) fn too_large(width: u32, height: u32) -> Error {
    Error::invalid_input(format!(
        "the picture is too large: found {width} x {height} pixels, accepted are \
         {MAX_SIDE} a side and {MAX_PIXELS} in all"
    ))
    .with_detail("width", width)
    .with_detail("height", height)
    .with_detail("max_side", MAX_SIDE)
    .with_detail("max_pixels", MAX_PIXELS)
}

fn found(bytes: &[u8], guess: Option<ImageFormat>) -> String {
    if let Some(format) = guess {
        return format.to_mime_type().to_owned();
    }
    let start: Vec<_> = bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match bytes {
        [] => "no bytes".to_owned(),
        _ if bytes
            .iter()
            .take(64)
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "text".to_owned()
        }
        _ => format!("unknown bytes {}", start.join(" ")),
    }
}
