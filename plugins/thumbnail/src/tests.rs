use bulkhead_decode::testing::{self, CHELSEA, CHELSEA_EXIF, COFFEE, ROCKET};
use bulkhead_plugin::testing::{Answer, Call, Kind, Value, json};
use image::{DynamicImage, GenericImageView, ImageFormat, Rgba, RgbaImage};

use super::Thumbnailer;

fn thumbnail(file: &[u8], options: Value) -> Answer {
    let call = Call::new(file, "image/png").options(options);
    call.run::<Thumbnailer>().unwrap()
}

/// The picture in the attachment, after a check that the answer tells the truth of it.
fn picture(answer: &Answer) -> DynamicImage {
    let [attachment] = &answer.attachments[..] else {
        panic!("one attachment, not {}", answer.attachments.len());
    };
    let picture = image::load_from_memory(&attachment.data).unwrap();
    assert_eq!(answer.output["width"], picture.width());
    assert_eq!(answer.output["height"], picture.height());
    assert_eq!(answer.output["bytes"], attachment.data.len());
    assert_eq!(answer.output["attachment"], attachment.name);
    picture
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    testing::encode(&picture.into(), ImageFormat::Png)
}

#[test]
fn a_cup_of_coffee_in_every_format() {
    for (format, name, mime_type) in [
        ("png", "thumbnail.png", "image/png"),
        ("jpeg", "thumbnail.jpg", "image/jpeg"),
        ("webp", "thumbnail.webp", "image/webp"),
    ] {
        let answer = thumbnail(COFFEE, json!({"format": format}));
        assert_eq!(picture(&answer).dimensions(), (256, 171));
        assert_eq!(answer.output["format"], format);
        let attachment = &answer.attachments[0];
        assert_eq!(
            (&attachment.name[..], &attachment.mime_type[..]),
            (name, mime_type)
        );
        let guess = image::guess_format(&attachment.data).unwrap();
        assert_eq!(guess.to_mime_type(), mime_type);
    }
}

#[test]
fn the_thumbnail_shows_the_picture() {
    let small = picture(&thumbnail(CHELSEA, json!({"width": 45, "format": "png"})));
    let cat = image::load_from_memory(CHELSEA).unwrap();
    let mean = |picture: &DynamicImage, channel: usize| {
        let sum: u64 = picture
            .pixels()
            .map(|(_, _, pixel)| u64::from(pixel[channel]))
            .sum();
        sum as f64 / (f64::from(picture.width()) * f64::from(picture.height()))
    };
    assert_eq!(small.dimensions(), (45, 30));
    for channel in 0..3 {
        assert!((mean(&small, channel) - mean(&cat, channel)).abs() < 1.5);
    }
}

#[test]
fn exif_turns_it_upright_and_stays_behind() {
    let answer = thumbnail(CHELSEA_EXIF, json!({}));
    assert_eq!(picture(&answer).dimensions(), (170, 256));
    assert!(bulkhead_decode::exif(&answer.attachments[0].data).is_none());
    let cover = json!({"fit": "cover", "width": 100, "height": 50});
    assert_eq!(
        picture(&thumbnail(CHELSEA_EXIF, cover)).dimensions(),
        (100, 50)
    );
}

#[test]
fn cover_keeps_the_middle() {
    let stripes = RgbaImage::from_fn(300, 100, |x, _| match x {
        100..200 => Rgba([0, 0, 255, 255]),
        _ => Rgba([255, 0, 0, 255]),
    });
    let options = json!({"fit": "cover", "width": 50, "height": 50, "format": "png"});
    let middle = picture(&thumbnail(&png(stripes), options));
    assert_eq!(middle.dimensions(), (50, 50));
    assert_eq!(middle.get_pixel(25, 25), Rgba([0, 0, 255, 255]));
    assert_eq!(middle.get_pixel(6, 6), Rgba([0, 0, 255, 255]));
}

#[test]
fn a_small_picture_stays_small_unless_asked() {
    let small = png(DynamicImage::new_rgb8(20, 10));
    assert_eq!(
        picture(&thumbnail(&small, json!({}))).dimensions(),
        (20, 10)
    );
    let upscaled = thumbnail(&small, json!({"upscale": true}));
    assert_eq!(picture(&upscaled).dimensions(), (256, 128));
}

#[test]
fn transparency_is_kept_or_becomes_white() {
    let glass = png(RgbaImage::from_pixel(64, 64, Rgba([0, 0, 0, 0])));
    for format in ["png", "webp"] {
        let small = picture(&thumbnail(&glass, json!({"width": 8, "format": format})));
        assert_eq!(small.get_pixel(4, 4)[3], 0, "{format}");
    }
    let small = picture(&thumbnail(&glass, json!({"width": 8, "format": "jpeg"})));
    assert_eq!(small.get_pixel(4, 4), Rgba([255, 255, 255, 255]));
}

#[test]
fn quality_is_worth_bytes() {
    let bytes = |quality| {
        thumbnail(ROCKET, json!({"quality": quality})).output["bytes"]
            .as_u64()
            .unwrap()
    };
    assert!(bytes(20) < bytes(80) && bytes(80) < bytes(100));
}

#[test]
fn deep_grey_and_every_other_format_give_thumbnails() {
    for deep in [
        DynamicImage::new_luma16(90, 60),
        DynamicImage::new_rgba16(90, 60),
        DynamicImage::new_luma_a8(90, 60),
    ] {
        assert_eq!(
            picture(&thumbnail(&png(deep), json!({"width": 30}))).dimensions(),
            (30, 20)
        );
    }
    for (name, file) in testing::every_format() {
        let small = picture(&thumbnail(&file, json!({"width": 32, "height": 32})));
        assert_eq!(small.dimensions(), (32, 24), "{name}");
    }
}

#[test]
fn strips_have_thumbnails() {
    for (width, height) in [(1, 1), (1, 9_000), (9_000, 1)] {
        for fit in ["contain", "cover"] {
            let strip = png(DynamicImage::new_rgb8(width, height));
            let small = picture(&thumbnail(&strip, json!({"fit": fit})));
            assert!(small.width().max(small.height()) <= 256);
        }
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        json!({"width": 0}),
        json!({"height": 4097}),
        json!({"quality": 0}),
        json!({"quality": 101}),
        json!({"fit": "stretch"}),
        json!({"format": "gif"}),
        json!({"size": 3}),
    ] {
        let failure = Call::new(CHELSEA, "image/png")
            .options(options)
            .run::<Thumbnailer>()
            .unwrap_err();
        assert_eq!(failure.kind, Kind::InvalidOptions, "{}", failure.message);
    }
}

#[test]
fn a_cancel_is_heeded() {
    let call = Call::new(CHELSEA, "image/png");
    for call in [call.clone().cancelled(), call.cancelled_at(0.5)] {
        let failure = call.run::<Thumbnailer>().unwrap_err();
        assert_eq!(failure.kind, Kind::Cancelled);
    }
}

#[test]
fn junk_is_refused_and_never_panics() {
    testing::stands_junk::<Thumbnailer>();
    testing::refuses_what_cannot_be_decoded::<Thumbnailer>();
}
