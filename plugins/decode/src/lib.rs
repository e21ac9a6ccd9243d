//! Pictures from untrusted bytes: what every first-party plugin does before its own work.
//!
//! It exists so that the plugins agree on which formats they take, on how large a picture may
//! claim to be, on which way is up, and on what they answer when the bytes are no picture. It is a
//! library for plugins and exports none itself; it knows nothing of what they do with the picture.

#![forbid(unsafe_code)]

mod grey;
mod jpeg;
mod meta;
mod refusal;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::io::Cursor;

use bulkhead_plugin::Error;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

pub use grey::grey_on_white;
pub use meta::exif;

/// The widest and the highest picture that is decoded.
pub const MAX_SIDE: u32 = 16_384;
/// The most pixels that are decoded.
pub const MAX_PIXELS: u64 = 100_000_000;
/// The most bytes that a decoder may ask for.
pub const MAX_ALLOC: u64 = 512 << 20;

/// The formats that are decoded, by the name that callers see.
const FORMATS: [(ImageFormat, &str); 8] = [
    (ImageFormat::Png, "png"),
    (ImageFormat::Jpeg, "jpeg"),
    (ImageFormat::Gif, "gif"),
    (ImageFormat::WebP, "webp"),
    (ImageFormat::Bmp, "bmp"),
    (ImageFormat::Tiff, "tiff"),
    (ImageFormat::Ico, "ico"),
    (ImageFormat::Pnm, "pnm"),
];

/// What those formats are sent as: the MIME types that every first-party plugin accepts.
pub const MIME_TYPES: &[&str] = &[
    "image/png",
    "image/apng",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/x-ms-bmp",
    "image/tiff",
    "image/x-icon",
    "image/vnd.microsoft.icon",
    "image/x-portable-anymap",
    "image/x-portable-bitmap",
    "image/x-portable-graymap",
    "image/x-portable-pixmap",
    "image/x-portable-arbitrarymap",
];

/// A picture of which only the header was read.
pub struct Opened<'a> {
    bytes: &'a [u8],
    format: ImageFormat,
    name: &'static str,
    decoder: Box<dyn ImageDecoder + 'a>,
}

impl<'a> Opened<'a> {
    /// Reads the header. What the bytes are is told by the bytes: a MIME type is a claim.
    ///
    /// # Errors
    /// [`Error::invalid_input`] for what is no picture of a known format, or has a broken header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let guess = image::guess_format(bytes).ok();
        let known = FORMATS.iter().find(|(format, _)| Some(*format) == guess);
        let &(format, name) = known.ok_or_else(|| refusal::unknown(bytes, guess))?;
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits());
        let decoder = reader
            .into_decoder()
            .map_err(|error| refusal::broken(name, &error))?;
        let decoder = Box::new(decoder);
        Ok(Self {
            bytes,
            format,
            name,
            decoder,
        })
    }

    /// The format.
    pub fn format(&self) -> ImageFormat {
        self.format
    }

    /// The format's name: `png`, `jpeg`, `gif`, `webp`, `bmp`, `tiff`, `ico` or `pnm`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Width and height in pixels, as stored.
    pub fn size(&self) -> (u32, u32) {
        self.decoder.dimensions()
    }

    /// What else the header says.
    pub fn decoder(&mut self) -> &mut (dyn ImageDecoder + 'a) {
        &mut *self.decoder
    }

    /// How the stored picture is to be turned, by its EXIF.
    pub fn orientation(&self) -> Orientation {
        meta::orientation(self.bytes)
    }

    /// Decodes the pixels as they are stored; of an animation, the first frame.
    ///
    /// # Errors
    /// [`Error::invalid_input`] for a picture over the limits, or a broken or truncated one.
    pub fn decode(mut self) -> Result<DynamicImage, Error> {
        let (width, height) = self.size();
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS {
            return Err(refusal::too_large(width, height));
        }
        // The decoder would paint the missing part grey.
        if self.format == ImageFormat::Jpeg && !jpeg::has_end(self.bytes) {
            return Err(refusal::truncated(self.name));
        }
        let mut limits = limits();
        limits
            .reserve(self.decoder.total_bytes())
            .and_then(|()| self.decoder.set_limits(limits))
            .and_then(|()| DynamicImage::from_decoder(self.decoder))
            .map_err(|error| refusal::broken(self.name, &error))
    }
}

/// Decodes a picture and turns it the way it is to be looked at.
///
/// # Errors
/// As [`Opened::new`] and [`Opened::decode`].
pub fn upright(bytes: &[u8]) -> Result<DynamicImage, Error> {
    let opened = Opened::new(bytes)?;
    let orientation = opened.orientation();
    let mut picture = opened.decode()?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    limits
}

#[cfg(test)]
mod tests;
