use bulkhead_decode::testing::{self, CHELSEA, COFFEE, encode};
use bulkhead_plugin::testing::{Call, Kind, Value, json};
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

use super::Extractor;
use super::oklab::Lab;

fn palette(file: &[u8], options: Value) -> Value {
    let call = Call::new(file, "image/png").options(options);
    call.run::<Extractor>().unwrap().output["colours"].clone()
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    encode(&picture.into(), ImageFormat::Png)
}

#[test]
fn flat_colours_are_found_exactly() {
    let picture = RgbaImage::from_fn(100, 100, |x, _| match x {
        0..70 => Rgba([200, 30, 60, 255]),
        70..90 => Rgba([0, 0, 255, 255]),
        _ => Rgba([255, 255, 255, 255]),
    });
    let expected = json!([
        {"hex": "#c81e3c", "rgb": [200, 30, 60], "share": 0.7},
        {"hex": "#0000ff", "rgb": [0, 0, 255], "share": 0.2},
        {"hex": "#ffffff", "rgb": [255, 255, 255], "share": 0.1},
    ]);
    assert_eq!(palette(&png(picture), json!({})), expected);
}

#[test]
fn the_cup_of_coffee_is_brown() {
    let colours = palette(COFFEE, json!({}));
    println!("{colours}");
    let colours = colours.as_array().unwrap();
    assert_eq!(colours.len(), 5);
    let shares: Vec<_> = colours
        .iter()
        .map(|c| c["share"].as_f64().unwrap())
        .collect();
    assert!(shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let [red, green, blue] = [0, 1, 2].map(|i| colours[0]["rgb"][i].as_u64().unwrap());
    assert!(red > green && green > blue, "{}", colours[0]);
}

#[test]
fn the_answer_is_the_same_every_time() {
    for seed in [0, 7] {
        let options = json!({"colours": 8, "seed": seed});
        let first = palette(CHELSEA, options.clone());
        assert_eq!(first, palette(CHELSEA, options));
        assert_eq!(first.as_array().unwrap().len(), 8);
    }
}

#[test]
fn what_is_transparent_does_not_count() {
    let picture = RgbaImage::from_fn(40, 40, |x, _| match x {
        0..10 => Rgba([0, 128, 0, 255]),
        _ => Rgba([255, 0, 0, 0]),
    });
    let expected = json!([{"hex": "#008000", "rgb": [0, 128, 0], "share": 1.0}]);
    assert_eq!(palette(&png(picture), json!({})), expected);
    assert_eq!(palette(&png(RgbaImage::new(9, 9)), json!({})), json!([]));
}

#[test]
fn small_and_narrow_pictures_have_colours_too() {
    for (width, height) in [(1, 1), (1, 5_000), (5_000, 1), (2, 2), (161, 161)] {
        let picture = RgbaImage::from_pixel(width, height, Rgba([1, 2, 3, 255]));
        let expected = json!([{"hex": "#010203", "rgb": [1, 2, 3], "share": 1.0}]);
        assert_eq!(palette(&png(picture), json!({"colours": 16})), expected);
    }
}

#[test]
fn every_colour_survives_oklab() {
    for rgb in (0..=255).flat_map(|v| [[v, 0, 255 - v], [v, v, v], [255, v, 7]]) {
        assert_eq!(Lab::from_rgb(rgb).to_rgb(), rgb);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        json!({"colours": 0}),
        json!({"colours": 17}),
        json!({"colors": 3}),
    ] {
        let call = Call::new(CHELSEA, "image/png").options(options);
        let failure = call.run::<Extractor>().unwrap_err();
        assert_eq!(failure.kind, Kind::InvalidOptions, "{}", failure.message);
    }
}

#[test]
fn a_cancel_is_heeded() {
    let call = Call::new(CHELSEA, "image/png");
    for call in [call.clone().cancelled(), call.cancelled_at(0.5)] {
        let failure = call.run::<Extractor>().unwrap_err();
        assert_eq!(failure.kind, Kind::Cancelled);
    }
}

#[test]
fn junk_is_refused_and_never_panics() {
    testing::stands_junk::<Extractor>();
    testing::refuses_what_cannot_be_decoded::<Extractor>();
}
