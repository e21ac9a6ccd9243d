use bulkhead_decode::testing::{self, COFFEE, TICKET, encode};
use bulkhead_plugin::testing::{Call, Kind, Value, json};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgba};
use rxing::{BarcodeFormat, MultiFormatWriter, Writer};

use super::Qr;

const TEXT: &str = "https://example.org/bulkhead?ticket=4711";

fn scan(file: &[u8], options: Value) -> Value {
    let call = Call::new(file, "image/png").options(options);
    call.run::<Qr>().unwrap().output
}

fn scan_picture(picture: &DynamicImage, options: Value) -> Value {
    scan(&encode(picture, ImageFormat::Png), options)
}

fn ticket() -> DynamicImage {
    image::load_from_memory(TICKET).unwrap()
}

/// A picture of a code that reads `text`.
fn draw(text: &str, format: BarcodeFormat) -> DynamicImage {
    let (width, height) = match format {
        BarcodeFormat::QR_CODE | BarcodeFormat::AZTEC => (300, 300),
        _ => (400, 120),
    };
    let matrix = MultiFormatWriter
        .encode(text, &format, width, height)
        .unwrap();
    let (width, height) = (matrix.getWidth(), matrix.getHeight());
    let shade = |x, y| Luma([if matrix.get(x, y) { 0 } else { 255 }]);
    let code = GrayImage::from_fn(width, height, shade);
    let mut page = GrayImage::from_pixel(width + 80, height + 80, Luma([255]));
    imageops::replace(&mut page, &code, 40, 40);
    page.into()
}

#[track_caller]
fn check_texts(output: &Value, expected: &[&str]) {
    let codes = output["codes"].as_array().unwrap();
    let texts: Vec<_> = codes
        .iter()
        .map(|code| code["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, expected);
}

#[test]
fn the_ticket_is_read() {
    let corners = json!([
        {"x": 40.5, "y": 40.5}, {"x": 330.5, "y": 40.5},
        {"x": 330.5, "y": 330.5}, {"x": 40.5, "y": 330.5},
    ]);
    let expected = json!({
        "codes": [{"text": TEXT, "format": "qr", "corners": corners}],
        "width": 370, "height": 370,
    });
    assert_eq!(scan(TICKET, json!({})), expected);
}

#[test]
fn corners_begin_at_the_top_left_of_the_code() {
    let output = scan_picture(&ticket().rotate90(), json!({}));
    check_texts(&output, &[TEXT]);
    assert_eq!(
        output["codes"][0]["corners"][0],
        json!({"x": 330.5, "y": 40.5})
    );
    assert_eq!(
        output["codes"][0]["corners"][1],
        json!({"x": 330.5, "y": 330.5})
    );
}

#[test]
fn a_picture_without_codes_has_an_empty_list() {
    let expected = json!({"codes": [], "width": 600, "height": 400});
    assert_eq!(scan(COFFEE, json!({})), expected);
}

#[test]
fn a_code_on_nothing_is_read() {
    let mut picture = ticket().into_rgba8();
    for pixel in picture.pixels_mut() {
        *pixel = Rgba([0, 0, 0, 255 - pixel[0]]);
    }
    check_texts(&scan_picture(&picture.into(), json!({})), &[TEXT]);
}

#[test]
fn light_on_dark_takes_trying_harder() {
    let mut picture = ticket();
    picture.invert();
    check_texts(&scan_picture(&picture, json!({})), &[TEXT]);
    check_texts(&scan_picture(&picture, json!({"try_harder": false})), &[]);
}

#[test]
fn a_small_and_a_shrunken_code_are_read() {
    let small = ticket().resize(111, 111, FilterType::Triangle);
    check_texts(&scan_picture(&small, json!({})), &[TEXT]);
}

#[test]
fn several_codes_come_from_top_to_bottom_up_to_the_most() {
    let mut page = GrayImage::from_pixel(900, 900, Luma([255]));
    for (text, x, y) in [("third", 20, 500), ("second", 480, 60), ("first", 20, 20)] {
        let code = draw(text, BarcodeFormat::QR_CODE).into_luma8();
        imageops::replace(&mut page, &code, x, y);
    }
    let page = page.into();
    check_texts(
        &scan_picture(&page, json!({})),
        &["first", "second", "third"],
    );
    check_texts(
        &scan_picture(&page, json!({"max": 2})),
        &["first", "second"],
    );
}

#[test]
fn other_formats_are_read_on_request() {
    for (format, name, text) in [
        (BarcodeFormat::CODE_128, "code_128", "BULKHEAD-4711"),
        (BarcodeFormat::EAN_13, "ean_13", "4006381333931"),
        (BarcodeFormat::AZTEC, "aztec", "a matrix"),
    ] {
        let picture = draw(text, format);
        check_texts(&scan_picture(&picture, json!({})), &[]);
        let output = scan_picture(&picture, json!({"formats": ["qr", name]}));
        check_texts(&output, &[text]);
        assert_eq!(output["codes"][0]["format"], name);
        assert!(output["codes"][0]["corners"].as_array().unwrap().len() >= 2);
    }
}

#[test]
fn bytes_that_are_no_text_come_in_base64() {
    let text = "\u{1}\u{2}\u{3}binary";
    let output = scan_picture(&draw(text, BarcodeFormat::QR_CODE), json!({}));
    assert_eq!(output["codes"][0]["bytes"], "AQIDYmluYXJ5");
}

#[test]
fn progress_is_told_and_a_cancel_is_heeded() {
    let call = Call::new(TICKET, "image/png");
    assert_eq!(call.run::<Qr>().unwrap().progress, [0.0, 0.5]);
    for call in [call.clone().cancelled(), call.cancelled_at(0.0)] {
        let failure = call.run::<Qr>().unwrap_err();
        assert_eq!(failure.kind, Kind::Cancelled);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        json!({"formats": ["qrcode"]}),
        json!({"most": 3}),
        json!({"max": -1}),
        json!({"max": 0}),
        json!({"formats": []}),
    ] {
        let call = Call::new(TICKET, "image/png").options(options);
        let failure = call.run::<Qr>().unwrap_err();
        assert_eq!(failure.kind, Kind::InvalidOptions);
    }
}

#[test]
fn noise_does_not_panic() {
    let mut state = 1_u32;
    let mut noise = |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Luma([if state >> 31 == 0 { 0 } else { 255 }])
    };
    for (width, height) in [(1, 1), (7, 300), (64, 64), (200, 200)] {
        let picture = GrayImage::from_fn(width, height, &mut noise).into();
        let formats = json!([
            "qr",
            "micro_qr",
            "rmqr",
            "aztec",
            "data_matrix",
            "pdf_417",
            "code_39",
            "itf",
            "upc_a"
        ]);
        check_texts(&scan_picture(&picture, json!({"formats": formats})), &[]);
    }
}

#[test]
fn junk_is_refused_and_never_panics() {
    testing::stands_junk::<Qr>();
    testing::refuses_what_cannot_be_decoded::<Qr>();
}
