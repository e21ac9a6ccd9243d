//! Writes the thumbnail's file.

use std::io::Cursor;

use bulkhead_plugin::Error;
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{DynamicImage, ImageEncoder, RgbImage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Options;

/// The format of a thumbnail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Lossless, with transparency.
    Png,
    /// Small; what is transparent becomes white.
    #[default]
    Jpeg,
    /// Lossless, with transparency, smaller than PNG.
    Webp,
}

impl Format {
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Png => "thumbnail.png",
            Self::Jpeg => "thumbnail.jpg",
            Self::Webp => "thumbnail.webp",
        }
    }

    pub(crate) fn mime_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

pub(crate) fn encode(
    picture: &DynamicImage,
    profile: Option<Vec<u8>>,
    options: &Options,
) -> Result<Vec<u8>, Error> {
    let mut file = Vec::new();
    let out = Cursor::new(&mut file);
    match options.format {
        Format::Png => write(PngEncoder::new(out), picture, profile)?,
        Format::Webp => write(WebPEncoder::new_lossless(out), picture, profile)?,
        Format::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(out, options.quality);
            write(encoder, &on_white(picture).into(), profile)?;
        }
    }
    Ok(file)
}

fn write(
    mut encoder: impl ImageEncoder,
    picture: &DynamicImage,
    profile: Option<Vec<u8>>,
) -> Result<(), Error> {
    if let Some(profile) = profile.filter(|profile| is_rgb(profile)) {
        // Where the format has no place for it, colours are slightly off: better than no picture.
        let _ = encoder.set_icc_profile(profile);
    }
    Ok(picture.write_with_encoder(encoder)?)
}

/// Whether a profile describes RGB, which is all that we write: one of a CMYK or grey picture would
/// now be wrong. Its header names the colour space at byte 16.
fn is_rgb(profile: &[u8]) -> bool {
    profile.get(16..20) == Some(b"RGB ")
}

fn on_white(picture: &DynamicImage) -> RgbImage {
    let DynamicImage::ImageRgba8(picture) = picture else {
        return picture.to_rgb8();
    };
    let blend = |channel: u8, alpha: u8| {
        let (channel, alpha) = (u16::from(channel), u16::from(alpha));
        // At most 255: a mean of two bytes.
        ((channel * alpha + 255 * (255 - alpha)) / 255) as u8
    };
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        image::Rgb([red, green, blue].map(|channel| blend(channel, alpha)))
    })
}
