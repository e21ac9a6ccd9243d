use std::io::Cursor;

use bulkhead_decode::testing::{self, CHELSEA, CHELSEA_EXIF, ROCKET, encode};
use bulkhead_plugin::testing::{Call, Kind, Value, json};
use exif::experimental::Writer;
use exif::{Field, In, Rational, Tag, Value as Tagged};
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, RgbaImage};

use super::ImageInfo;

fn info(file: &[u8], options: Value) -> Value {
    let call = Call::new(file, "image/png").options(options);
    call.run::<ImageInfo>().unwrap().output
}

/// A JPEG with these EXIF fields.
fn jpeg_with(fields: impl IntoIterator<Item = (Tag, Tagged)>) -> Vec<u8> {
    let field = |(tag, value)| Field {
        tag,
        ifd_num: In::PRIMARY,
        value,
    };
    let fields: Vec<_> = fields.into_iter().map(field).collect();
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut tiff = Cursor::new(Vec::new());
    writer.write(&mut tiff, false).unwrap();
    let block = [b"Exif\0\0", &tiff.into_inner()[..]].concat();
    let length = u16::try_from(block.len() + 2).unwrap().to_be_bytes();
    [b"\xff\xd8\xff\xe1", &length[..], &block, &ROCKET[2..]].concat()
}

fn ascii(text: &str) -> Tagged {
    Tagged::Ascii(vec![text.into()])
}

fn fractions(fractions: &[(u32, u32)]) -> Tagged {
    let fraction = |&(num, denom): &(u32, u32)| Rational { num, denom };
    Tagged::Rational(fractions.iter().map(fraction).collect())
}

#[track_caller]
fn check_exif(fields: impl IntoIterator<Item = (Tag, Tagged)>, expected: Value) {
    assert_eq!(info(&jpeg_with(fields), json!({}))["exif"], expected);
}

#[test]
fn a_png() {
    let expected = json!({
        "format": "png", "mime_type": "image/png", "width": 451, "height": 300,
        "colour_type": "rgb8", "bits_per_channel": 8, "has_alpha": false, "bytes": 240_512,
        "frames": 1, "animated": false, "orientation": 1, "exif": null,
    });
    assert_eq!(info(CHELSEA, json!({})), expected);
}

#[test]
fn a_jpeg_with_exif() {
    let expected = json!({
        "format": "jpeg", "mime_type": "image/jpeg", "width": 451, "height": 300,
        "colour_type": "rgb8", "bits_per_channel": 8, "has_alpha": false, "bytes": 28_125,
        "frames": 1, "animated": false, "orientation": 6,
        "exif": {
            "make": "Example", "model": "Camera 1", "taken_at": "2026-01-02T03:04:05",
            "aperture": 2.8, "iso": 200, "gps": {"latitude": 52.52, "longitude": 13.405},
        },
    });
    assert_eq!(info(CHELSEA_EXIF, json!({})), expected);
}

#[test]
fn south_and_west_are_negative_and_below_the_sea_too() {
    let fields = [
        (
            Tag::GPSLatitude,
            fractions(&[(33, 1), (51, 1), (3150, 100)]),
        ),
        (Tag::GPSLatitudeRef, ascii("S")),
        (Tag::GPSLongitude, fractions(&[(70, 1), (30, 1), (0, 1)])),
        (Tag::GPSLongitudeRef, ascii("W")),
        (Tag::GPSAltitude, fractions(&[(25, 2)])),
        (Tag::GPSAltitudeRef, Tagged::Byte(vec![1])),
    ];
    let gps = json!({"latitude": -33.858_75, "longitude": -70.5, "altitude": -12.5});
    check_exif(fields, json!({"gps": gps}));
}

#[test]
fn a_place_that_is_none_is_left_out() {
    let degrees = |latitude| {
        [
            (Tag::GPSLatitude, fractions(&[latitude, (0, 1), (0, 1)])),
            (Tag::GPSLatitudeRef, ascii("N")),
            (Tag::GPSLongitude, fractions(&[(1, 1), (0, 1), (0, 1)])),
            (Tag::GPSLongitudeRef, ascii("E")),
        ]
    };
    check_exif(degrees((91, 1)), json!({}));
    check_exif(degrees((0, 0)), json!({}));
    check_exif(degrees((1, 0)), json!({}));
    check_exif([(Tag::GPSLatitude, fractions(&[(1, 1)]))], json!({}));
}

#[test]
fn the_exposure_is_in_plain_numbers() {
    let fields = [
        (Tag::ExposureTime, fractions(&[(1, 250)])),
        (Tag::FocalLength, fractions(&[(50, 1)])),
        (Tag::FNumber, fractions(&[(0, 0)])),
    ];
    check_exif(fields, json!({"exposure": 0.004, "focal_length": 50.0}));
}

#[test]
fn a_moment_has_its_offset_where_one_is_known() {
    let taken = |at: &str, offset: &str| {
        [
            (Tag::DateTimeOriginal, ascii(at)),
            (Tag::OffsetTimeOriginal, ascii(offset)),
        ]
    };
    let at = "2024:02:29 23:59:58";
    check_exif(
        taken(at, "+05:30"),
        json!({"taken_at": "2024-02-29T23:59:58+05:30"}),
    );
    check_exif(
        taken(at, "-03:00"),
        json!({"taken_at": "2024-02-29T23:59:58-03:00"}),
    );
    check_exif(
        taken(at, "   :  "),
        json!({"taken_at": "2024-02-29T23:59:58"}),
    );
    check_exif(taken("2024:13:01 00:00:00", "+00:00"), json!({}));
    check_exif(taken("    :  :     :  :  ", "+00:00"), json!({}));
}

#[test]
fn all_tags_are_brief_text() {
    let tags = &info(CHELSEA_EXIF, json!({"all_tags": true}))["tags"];
    assert_eq!(tags["FNumber"], "f/2.8");
    assert_eq!(tags["Software"], "made for tests");
    assert_eq!(tags["GPSLatitude"], "52 deg 31 min 12 sec N");

    let long = jpeg_with([(Tag::ImageDescription, ascii(&"x".repeat(9_000)))]);
    let tags = &info(&long, json!({"all_tags": true}))["tags"];
    assert_eq!(
        tags["ImageDescription"].as_str().unwrap().chars().count(),
        257
    );
    assert_eq!(info(ROCKET, json!({"all_tags": true}))["tags"], json!({}));
}

#[test]
fn every_format_has_its_name_and_size() {
    for (name, file) in testing::every_format() {
        let info = info(&file, json!({}));
        assert_eq!(info["format"], name);
        assert_eq!(
            (&info["width"], &info["height"]),
            (&json!(64), &json!(48)),
            "{name}"
        );
        assert_eq!(info["bytes"], file.len());
    }
}

#[test]
fn colour_types_are_told_apart() {
    for (picture, name, bits, has_alpha) in [
        (DynamicImage::new_luma8(1, 1), "l8", 8, false),
        (DynamicImage::new_luma_a16(1, 1), "la16", 16, true),
        (DynamicImage::new_rgb16(1, 1), "rgb16", 16, false),
        (DynamicImage::new_rgba8(1, 1), "rgba8", 8, true),
    ] {
        let info = info(&encode(&picture, ImageFormat::Png), json!({}));
        assert_eq!(info["colour_type"], name);
        assert_eq!(
            (&info["bits_per_channel"], &info["has_alpha"]),
            (&json!(bits), &json!(has_alpha))
        );
    }
}

#[test]
fn an_animation_has_frames() {
    let mut file = Vec::new();
    let frames = (0..3).map(|_| Frame::new(RgbaImage::from_pixel(4, 4, [9, 9, 9, 255].into())));
    GifEncoder::new(&mut file).encode_frames(frames).unwrap();
    let info = info(&file, json!({}));
    assert_eq!(
        (&info["frames"], &info["animated"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(info["has_alpha"], false);
}

#[test]
fn what_is_too_large_to_decode_is_still_described() {
    let info = info(&testing::bomb(), json!({}));
    assert_eq!(
        (&info["width"], &info["height"]),
        (&json!(16_000), &json!(16_000))
    );
}

#[test]
fn junk_is_refused_and_never_panics() {
    testing::stands_junk::<ImageInfo>();
}

#[test]
fn unknown_options_are_refused() {
    let call = Call::new(CHELSEA, "image/png").options(json!({"all_tag": true}));
    let failure = call.run::<ImageInfo>().unwrap_err();
    assert_eq!(failure.kind, Kind::InvalidOptions);
}
