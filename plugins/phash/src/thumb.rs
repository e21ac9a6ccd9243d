//! The ThumbHash, which unlike the other hashes keeps colours and transparency.

use image::DynamicImage;

/// The crate takes no larger picture, and its author sees no gain in one.
const SIDE: u32 = 100;

pub(crate) fn base64(picture: &DynamicImage) -> String {
    let small = picture.thumbnail(SIDE, SIDE).into_rgba8();
    let (width, height) = small.dimensions();
    let hash = thumbhash::rgba_to_thumb_hash(width as usize, height as usize, small.as_raw());
    base64_simd::STANDARD.encode_to_string(hash)
}
