//! How large a thumbnail gets. Numbers only, no pixels.

use schemars::JsonSchema;
use serde::Deserialize;

/// How a picture fills the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fit {
    /// The whole picture, within the box.
    #[default]
    Contain,
    /// The middle of the picture, cut to the shape of the box.
    Cover,
}

/// Width and height.
pub(crate) type Size = (u32, u32);

impl Fit {
    /// The size of the thumbnail of a picture.
    pub(crate) fn size(self, picture: Size, frame: Size, upscale: bool) -> Size {
        let (width, height) = self.kept(picture, frame);
        let scale = (f64::from(frame.0) / width).min(f64::from(frame.1) / height);
        let scale = if upscale { scale } else { scale.min(1.0) };
        (pixels(width * scale), pixels(height * scale))
    }

    /// The size of the part of the picture that is kept.
    fn kept(self, picture: Size, frame: Size) -> (f64, f64) {
        let (width, height) = (f64::from(picture.0), f64::from(picture.1));
        let ratio = f64::from(frame.0) / f64::from(frame.1);
        match self {
            Self::Contain => (width, height),
            Self::Cover => (width.min(height * ratio), height.min(width / ratio)),
        }
    }
}

/// Even the thinnest strip has a pixel.
fn pixels(length: f64) -> u32 {
    (length.round() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fit: Fit, picture: Size, frame: Size, expected: Size) {
        assert_eq!(fit.size(picture, frame, false), expected);
    }

    #[test]
    fn contain_keeps_the_shape_of_the_picture() {
        check(Fit::Contain, (600, 400), (256, 256), (256, 171));
        check(Fit::Contain, (400, 600), (256, 256), (171, 256));
        check(Fit::Contain, (600, 400), (4096, 100), (150, 100));
        check(Fit::Contain, (10_000, 1), (256, 256), (256, 1));
    }

    #[test]
    fn cover_has_the_shape_of_the_box() {
        check(Fit::Cover, (600, 400), (256, 256), (256, 256));
        check(Fit::Cover, (600, 400), (100, 200), (100, 200));
        check(Fit::Cover, (300, 100), (256, 256), (100, 100));
        check(Fit::Cover, (1, 10_000), (256, 256), (1, 1));
    }

    #[test]
    fn only_upscale_makes_it_larger() {
        check(Fit::Contain, (60, 40), (256, 256), (60, 40));
        assert_eq!(Fit::Contain.size((60, 40), (256, 256), true), (256, 171));
        assert_eq!(Fit::Cover.size((60, 40), (256, 128), true), (256, 128));
    }
}
