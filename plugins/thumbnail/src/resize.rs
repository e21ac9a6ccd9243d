//! Makes a picture small and then turns it upright: in this order, few pixels are turned.

use bulkhead_plugin::Error;
use fast_image_resize::{ResizeOptions, Resizer};
use image::DynamicImage;
use image::metadata::Orientation;

use crate::Options;
use crate::fit::{Fit, Size};

/// A thumbnail of 8 bits a channel, RGB or RGBA.
pub(crate) fn resize(
    picture: &DynamicImage,
    orientation: Orientation,
    options: &Options,
) -> Result<DynamicImage, Error> {
    let turn = |size| turned(size, orientation);
    let upright = turn((picture.width(), picture.height()));
    let frame = (options.width, options.height);
    let (width, height) = turn(options.fit.size(upright, frame, options.upscale));
    let mut small = DynamicImage::new(width, height, picture.color());
    let cut = match options.fit {
        Fit::Contain => ResizeOptions::new(),
        Fit::Cover => ResizeOptions::new().fit_into_destination(None),
    };
    Resizer::new().resize(picture, &mut small, &cut)?;
    small.apply_orientation(orientation);
    Ok(to_bytes(small))
}

/// The size of a picture once it is turned, or was before.
fn turned((width, height): Size, orientation: Orientation) -> Size {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (height, width),
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => (width, height),
    }
}

fn to_bytes(picture: DynamicImage) -> DynamicImage {
    if picture.color().has_alpha() {
        picture.into_rgba8().into()
    } else {
        picture.into_rgb8().into()
    }
}
