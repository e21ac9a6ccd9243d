//! How many pictures an animation has, and whether a GIF is transparent: what lies behind the
//! header and is still found without decoding.

use std::io::Cursor;

use gif::DecodeOptions;
use image::ImageFormat;

pub(crate) struct Frames {
    pub(crate) count: u32,
    /// Whether pixels can be transparent, where the header alone does not tell.
    pub(crate) has_alpha: Option<bool>,
}

/// Counts as far as the file goes: the end of a broken one is not this plugin's to judge.
pub(crate) fn look(bytes: &[u8], format: ImageFormat) -> Frames {
    match format {
        ImageFormat::Gif => gif_frames(bytes),
        ImageFormat::Png => still_or(png_frames(bytes)),
        ImageFormat::WebP => still_or(webp_frames(bytes)),
        _ => still_or(None),
    }
}

fn still_or(count: Option<u32>) -> Frames {
    Frames {
        count: count.unwrap_or(1).max(1),
        has_alpha: None,
    }
}

fn gif_frames(bytes: &[u8]) -> Frames {
    let mut options = DecodeOptions::new();
    options.skip_frame_decoding(true);
    let (mut count, mut has_alpha) = (0, false);
    if let Ok(mut decoder) = options.read_info(Cursor::new(bytes)) {
        while let Ok(Some(frame)) = decoder.next_frame_info() {
            count += 1;
            has_alpha |= frame.transparent.is_some();
        }
    }
    Frames {
        count: count.max(1),
        has_alpha: Some(has_alpha),
    }
}

fn png_frames(bytes: &[u8]) -> Option<u32> {
    let reader = png::Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    Some(reader.info().animation_control()?.num_frames)
}

fn webp_frames(bytes: &[u8]) -> Option<u32> {
    let decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).ok()?;
    decoder.is_animated().then(|| decoder.num_frames())
}
