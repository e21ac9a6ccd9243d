//! `thumbnail`: a small copy of a picture, as a PNG, JPEG or WebP beside the answer.
//!
//! The copy fits a box, either whole or cut to the box's shape, is turned upright by the picture's
//! EXIF, keeps transparency where the format can and the colour profile where there is one, and
//! carries no other metadata: no place and no camera. It is never larger than the picture unless
//! that is asked for.

#![forbid(unsafe_code)]

mod encode;
mod fit;
mod resize;

use bulkhead_decode::Opened;
use bulkhead_plugin::{Context, Error, Plugin, Request, export_plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use encode::Format;
use fit::Fit;

/// How large, of what shape, and in which format.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The width of the box in pixels.
    #[schemars(range(min = 1, max = 4096))]
    width: u32,
    /// The height of the box in pixels.
    #[schemars(range(min = 1, max = 4096))]
    height: u32,
    /// How the picture fills the box.
    fit: Fit,
    /// The format of the thumbnail.
    format: Format,
    /// The quality of a JPEG; the other formats lose nothing.
    #[schemars(range(min = 1, max = 100))]
    quality: u8,
    /// Whether a picture smaller than the box may be made larger.
    upscale: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 256,
            height: 256,
            fit: Fit::default(),
            format: Format::default(),
            quality: 80,
            upscale: false,
        }
    }
}

/// The thumbnail, which itself is an attachment.
#[derive(Serialize, JsonSchema)]
struct Thumbnail {
    /// Its width in pixels.
    width: u32,
    /// Its height in pixels.
    height: u32,
    /// Its format.
    format: Format,
    /// The length of its file.
    bytes: usize,
    /// The name of the attachment.
    attachment: &'static str,
}

struct Thumbnailer;

impl Plugin for Thumbnailer {
    type Settings = ();
    type Options = Options;
    type Output = Thumbnail;

    fn new(_: ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(
        &self,
        request: &Request<'_>,
        options: Options,
        context: &Context<'_>,
    ) -> Result<Thumbnail, Error> {
        options.check()?;
        let mut opened = Opened::new(request.image())?;
        let orientation = opened.orientation();
        // A broken profile is no reason to have no thumbnail.
        let profile = opened.decoder().icc_profile().ok().flatten();
        let picture = opened.decode()?;
        context.check_cancelled()?;
        context.progress(0.5);
        let thumbnail = resize::resize(&picture, orientation, &options)?;
        context.check_cancelled()?;
        context.progress(0.9);
        let file = encode::encode(&thumbnail, profile, &options)?;
        let answer = Thumbnail {
            width: thumbnail.width(),
            height: thumbnail.height(),
            format: options.format,
            bytes: file.len(),
            attachment: options.format.file_name(),
        };
        context.attach(answer.attachment, options.format.mime_type(), file);
        Ok(answer)
    }
}

impl Options {
    /// What the schema says, for hosts that do not check it: a box of any size is memory.
    fn check(&self) -> Result<(), Error> {
        for (name, value, most) in [
            ("width", self.width, 4096),
            ("height", self.height, 4096),
            ("quality", self.quality.into(), 100),
        ] {
            if !(1..=most).contains(&value) {
                let message = format!("`{name}` is 1 to {most}, not {value}");
                return Err(Error::invalid_options(message));
            }
        }
        Ok(())
    }
}

export_plugin! {
    Thumbnailer,
    name: "thumbnail",
    accepts: bulkhead_decode::MIME_TYPES,
    summary: "A small copy of a picture as PNG, JPEG or WebP: upright, whole or cut to shape, without metadata",
    thread_safe: true,
}

#[cfg(test)]
mod tests;
