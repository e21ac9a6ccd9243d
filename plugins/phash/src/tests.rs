use bulkhead_decode::testing::{self, CHELSEA, CHELSEA_EXIF, COFFEE, encode};
use bulkhead_plugin::testing::{Call, Kind, Value, json};
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

use super::Phash;

const KINDS: [&str; 4] = ["mean", "gradient", "dct", "block"];

fn hashes(file: &[u8], options: Value) -> Value {
    let call = Call::new(file, "image/png").options(options);
    call.run::<Phash>().unwrap().output
}

fn hex(file: &[u8], kind: &str, bits: u16) -> String {
    let output = hashes(file, json!({"kinds": [kind], "bits": bits}));
    output["hashes"][0]["hex"].as_str().unwrap().to_owned()
}

/// The share of bits that a picture has in common with another.
fn similarity(file: &[u8], other: &[u8], kind: &str, bits: u16) -> f64 {
    let options = json!({"compare_to": hex(other, kind, bits), "kind": kind, "bits": bits});
    let comparison = &hashes(file, options)["comparison"];
    assert_eq!(comparison["kind"], kind);
    comparison["similarity"].as_f64().unwrap()
}

fn cat() -> DynamicImage {
    image::load_from_memory(CHELSEA).unwrap()
}

/// Stored hashes must stay comparable: a change of these values is a breaking one.
#[test]
fn the_cat_has_these_hashes() {
    let hash = |kind, hex| json!({"kind": kind, "bits": 64, "hex": hex});
    let expected = json!({
        "hashes": [
            hash("mean", "82808e4b09a373e7"), hash("gradient", "5414589aab6fa78d"),
            hash("dct", "b15fe6465121175e"), hash("block", "c6c48e4b08237767"),
        ],
        "comparison": null,
        "thumbhash": "XUkGFYL2WGih1qmreEWIhQx41HBm",
    });
    assert_eq!(hashes(CHELSEA, json!({})), expected);
}

#[test]
fn a_picture_is_like_itself_made_small_and_compressed() {
    let small = cat().resize(150, 150, FilterType::Triangle);
    let small = encode(&small, ImageFormat::Jpeg);
    for kind in KINDS {
        for bits in [64, 256] {
            let same = similarity(CHELSEA, CHELSEA, kind, bits);
            let small = similarity(&small, CHELSEA, kind, bits);
            let other = similarity(COFFEE, CHELSEA, kind, bits);
            assert_eq!(same, 1.0);
            assert!(small > 0.85, "{kind} {bits}: {small}");
            assert!(other < 0.75, "{kind} {bits}: {other}");
        }
    }
}

#[test]
fn a_picture_turned_by_its_exif_is_hashed_as_it_is_seen() {
    let turned = encode(&cat().rotate90(), ImageFormat::Png);
    assert!(similarity(CHELSEA_EXIF, &turned, "dct", 64) > 0.9);
}

#[test]
fn what_is_transparent_counts_as_white() {
    let disc = |nothing: Rgba<u8>| {
        let picture = RgbaImage::from_fn(64, 64, |x, y| match (x, y) {
            (10..30, 5..40) => Rgba([0, 0, 0, 255]),
            _ => nothing,
        });
        hex(&encode(&picture.into(), ImageFormat::Png), "dct", 64)
    };
    assert_eq!(disc(Rgba([0, 0, 0, 0])), disc(Rgba([255, 255, 255, 255])));
}

#[test]
fn a_hash_has_the_bits_that_were_asked_for() {
    for kind in KINDS {
        assert_eq!(hex(COFFEE, kind, 64).len(), 16);
        assert_eq!(hex(COFFEE, kind, 256).len(), 64);
    }
}

#[test]
fn the_distance_counts_bits() {
    let hash = hex(CHELSEA, "mean", 64);
    let flipped = format!("{:016X}", u64::from_str_radix(&hash, 16).unwrap() ^ 0b1011);
    let options = json!({"compare_to": flipped, "kind": "mean"});
    let expected = json!({"kind": "mean", "distance": 3, "similarity": 0.953125});
    assert_eq!(hashes(CHELSEA, options)["comparison"], expected);
}

#[test]
fn a_hash_that_is_none_is_refused() {
    for (compare_to, bits, says) in [
        (
            "",
            64,
            "16 hexadecimal digits, a hash of 64 bits: found 0 digits",
        ),
        ("82808e4b09a373e", 64, "found 15 digits"),
        (
            "82808e4b09a373e7",
            256,
            "64 hexadecimal digits, a hash of 256 bits: found 16 digits",
        ),
        ("82808e4b09a373eg", 64, "found the character `g`"),
        ("0x808e4b09a373e7", 64, "found the character `x`"),
        ("82808e4b09a373ü", 64, "found the character `\\u{fc}`"),
    ] {
        let call = Call::new(CHELSEA, "image/png")
            .options(json!({"compare_to": compare_to, "bits": bits}));
        let failure = call.run::<Phash>().unwrap_err();
        assert_eq!(failure.kind, Kind::InvalidOptions);
        assert!(failure.message.contains(says), "{}", failure.message);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        json!({"bits": 65}),
        json!({"kinds": ["phash"]}),
        json!({"kinds": []}),
        json!({"kid": "dct"}),
    ] {
        let call = Call::new(CHELSEA, "image/png").options(options);
        let failure = call.run::<Phash>().unwrap_err();
        assert_eq!(failure.kind, Kind::InvalidOptions);
    }
}

#[test]
fn odd_shapes_do_not_panic() {
    for (width, height) in [(1, 1), (1, 3_000), (3_000, 1), (7, 9)] {
        let picture = encode(&DynamicImage::new_rgba8(width, height), ImageFormat::Png);
        for bits in [64, 256] {
            let hashes = hashes(&picture, json!({"bits": bits}));
            assert_eq!(hashes["hashes"].as_array().unwrap().len(), KINDS.len());
        }
    }
}

#[test]
fn junk_is_refused_and_never_panics() {
    testing::stands_junk::<Phash>();
    testing::refuses_what_cannot_be_decoded::<Phash>();
}
