use bulkhead_decode::testing::{self, CHELSEA, CHELSEA_EXIF, COFFEE, encode};
use bulkhead_plugin::abi::FailureKind;
use bulkhead_plugin::testing::{Call, Value, json};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};

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

/// The bits in which a picture differs from another.
fn distance(file: &[u8], other: &[u8], kind: &str, bits: u16) -> u64 {
    let options = json!({"compare_to": hex(other, kind, bits), "kind": kind, "bits": bits});
    hashes(file, options)["comparison"]["distance"]
        .as_u64()
        .unwrap()
}

#[test]
fn the_cat_has_these_hashes() {
    let output = hashes(CHELSEA, json!({}));
    println!("{output}");
    assert_eq!(output["comparison"], Value::Null);
}
