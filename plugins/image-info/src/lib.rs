//! `image-info`: what a picture file says of itself, without decoding a pixel.
//!
//! Answers with the format, the size in pixels and bytes, the colour type, the number of frames
//! and which way is up; where the file has EXIF, with the camera, the moment, the exposure and the
//! place as well. Only headers are read, so that a picture of a gigabyte costs as little as an
//! icon, and a picture too large to be decoded is still described. It is the plugin behind
//! `default`.

#![forbid(unsafe_code)]

mod camera;
mod frames;
mod place;
mod tags;

use std::collections::BTreeMap;

use bulkhead_decode::Opened;
use bulkhead_plugin::{Context, Error, Plugin, Request, export_plugin};
use image::ColorType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use camera::Camera;
use place::Place;

/// What a caller may ask for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// Also give every EXIF tag of the picture as text, by its name, under `tags`.
    all_tags: bool,
}

/// What the file says of itself.
#[derive(Serialize, JsonSchema)]
struct Info {
    /// The format, told by the content: png, jpeg, gif, webp, bmp, tiff, ico or pnm.
    format: &'static str,
    /// The MIME type of that format.
    mime_type: &'static str,
    /// Pixels from left to right, as stored; `orientation` may turn the picture.
    width: u32,
    /// Pixels from top to bottom, as stored.
    height: u32,
    /// What a pixel decodes to: l, la, rgb or rgba, then the bits of a channel; 32f for floats.
    colour_type: &'static str,
    /// The bits of one channel of a decoded pixel.
    bits_per_channel: u16,
    /// Whether pixels can be transparent.
    has_alpha: bool,
    /// The length of the file.
    bytes: usize,
    /// Pictures of the animation; 1 for a still picture. Pages of a TIFF are not counted.
    frames: u32,
    /// Whether there is more than one frame.
    animated: bool,
    /// How the stored picture is to be turned, as EXIF numbers it: 1 is upright, 6 is to be turned
    /// clockwise by a quarter. From 5 on, width and height change places.
    #[schemars(range(min = 1, max = 8))]
    orientation: u8,
    /// What the camera wrote; null without EXIF.
    exif: Option<Exif>,
    /// Every EXIF tag as text, where `all_tags` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<String, String>>,
}

/// What the camera wrote. A field that the camera left out is left out here.
#[derive(Serialize, JsonSchema)]
struct Exif {
    #[serde(flatten)]
    camera: Camera,
    /// Where the picture was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    gps: Option<Place>,
}

struct ImageInfo;

impl Plugin for ImageInfo {
    type Settings = ();
    type Options = Options;
    type Output = Info;

    fn new(_: ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(
        &self,
        request: &Request<'_>,
        options: Options,
        context: &Context<'_>,
    ) -> Result<Info, Error> {
        let bytes = request.image();
        let mut opened = Opened::new(bytes)?;
        context.check_cancelled()?;
        let colour = opened.decoder().color_type();
        let (width, height) = opened.size();
        let frames = frames::look(bytes, opened.format());
        let exif = bulkhead_decode::exif(bytes);
        Ok(Info {
            format: opened.name(),
            mime_type: opened.format().to_mime_type(),
            width,
            height,
            colour_type: colour_name(colour),
            bits_per_channel: colour.bits_per_pixel() / u16::from(colour.channel_count()),
            has_alpha: frames.has_alpha.unwrap_or(colour.has_alpha()),
            bytes: bytes.len(),
            frames: frames.count,
            animated: frames.count > 1,
            orientation: opened.orientation().to_exif(),
            tags: options
                .all_tags
                .then(|| exif.as_ref().map(tags::all).unwrap_or_default()),
            exif: exif.as_ref().map(|exif| Exif {
                camera: Camera::of(exif),
                gps: Place::of(exif),
            }),
        })
    }
}

fn colour_name(colour: ColorType) -> &'static str {
    match colour {
        ColorType::L8 => "l8",
        ColorType::La8 => "la8",
        ColorType::Rgb8 => "rgb8",
        ColorType::Rgba8 => "rgba8",
        ColorType::L16 => "l16",
        ColorType::La16 => "la16",
        ColorType::Rgb16 => "rgb16",
        ColorType::Rgba16 => "rgba16",
        ColorType::Rgb32F => "rgb32f",
        ColorType::Rgba32F => "rgba32f",
        _ => "unknown",
    }
}

export_plugin! {
    ImageInfo,
    name: "image-info",
    accepts: bulkhead_decode::MIME_TYPES,
    summary: "What a picture file says of itself: format, size, colour type, frames, and its EXIF with camera, exposure and place. Reads headers only",
    thread_safe: true,
}

#[cfg(test)]
mod tests;
