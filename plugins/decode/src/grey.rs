//! A picture in shades of grey, for what looks at shapes and not at colours.

use image::{DynamicImage, GrayImage};

/// The picture in shades of grey. What is transparent becomes white, as on paper: drawings are often
/// black on nothing, and nothing is stored as transparent black.
pub fn grey_on_white(picture: DynamicImage) -> GrayImage {
    if !picture.color().has_alpha() {
        return picture.into_luma8();
    }
    let grey = picture.into_luma_alpha8();
    let blend = |pixel: &[u8]| {
        let (luma, alpha) = (u16::from(pixel[0]), u16::from(pixel[1]));
        // At most 255: a mean of two bytes.
        ((luma * alpha + 255 * (255 - alpha)) / 255) as u8
    };
    let (width, height) = grey.dimensions();
    let blended = grey.as_raw().chunks_exact(2).map(blend).collect();
    GrayImage::from_raw(width, height, blended).expect("one byte a pixel")
}
