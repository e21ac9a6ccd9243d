use bulkhead_plugin::{Context, NoOptions, Plugin, Request};
use image::{GenericImageView, GrayImage};

use super::*;

/// A plugin that does nothing but decode.
struct Decoder;

impl Plugin for Decoder {
    type Settings = ();
    type Options = NoOptions;
    type Output = std::collections::BTreeMap<String, u32>;

    fn new(_: ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(
        &self,
        request: &Request<'_>,
        _: NoOptions,
        _: &Context<'_>,
    ) -> Result<Self::Output, Error> {
        let (width, height) = upright(request.image())?.dimensions();
        Ok([("width".to_owned(), width), ("height".to_owned(), height)].into())
    }
}

#[test]
fn junk_is_refused_and_never_panics() {
    testing::stands_junk::<Decoder>();
}

#[test]
fn halves_and_bombs_are_refused() {
    testing::refuses_what_cannot_be_decoded::<Decoder>();
}

#[test]
fn every_format_is_decoded() {
    for (name, file) in testing::every_format() {
        let opened = Opened::new(&file).unwrap();
        assert_eq!((opened.name(), opened.size()), (name, (64, 48)));
        assert_eq!(opened.decode().unwrap().dimensions(), (64, 48), "{name}");
    }
}

#[test]
fn every_format_is_accepted() {
    for (format, _) in FORMATS {
        assert!(MIME_TYPES.contains(&format.to_mime_type()), "{format:?}");
    }
}

#[test]
fn orientation_turns_the_picture() {
    let opened = Opened::new(testing::CHELSEA_EXIF).unwrap();
    assert_eq!(opened.size(), (451, 300));
    assert_eq!(opened.orientation(), Orientation::Rotate90);
    assert_eq!(
        upright(testing::CHELSEA_EXIF).unwrap().dimensions(),
        (300, 451)
    );
}

#[test]
fn a_large_picture_within_the_limits_is_decoded() {
    let wide = testing::encode(&GrayImage::new(MAX_SIDE, 4).into(), ImageFormat::Png);
    assert_eq!(upright(&wide).unwrap().dimensions(), (MAX_SIDE, 4));
    let wider = testing::encode(&GrayImage::new(MAX_SIDE + 1, 1).into(), ImageFormat::Png);
    let error = upright(&wider).unwrap_err();
    assert!(
        error.message().contains("found 16385 x 1 pixels"),
        "{error}"
    );
}

#[test]
fn a_jpeg_with_a_tail_is_whole() {
    let with_tail = [testing::ROCKET, b"appended by a camera"].concat();
    assert!(upright(&with_tail).is_ok());
}

#[test]
fn the_end_of_a_thumbnail_is_not_the_end() {
    // An APP1 segment of 8 bytes with an end marker in it, then nothing.
    assert!(!jpeg::has_end(
        b"\xff\xd8\xff\xe1\0\x08\xff\xd8\xff\xd9\0\0"
    ));
    assert!(jpeg::has_end(b"\xff\xd8\xff\xe1\0\x04\xff\xd9\xff\xd9"));
    assert!(!jpeg::has_end(b"\xff\xd8\xff\xe1\xff"));
}
