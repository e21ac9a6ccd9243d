//! Pictures and junk for the tests of plugins, and the checks that all of them must pass.

use std::io::Cursor;

use bulkhead_plugin::Plugin;
use bulkhead_plugin::testing::{Call, Failure, Kind};
use image::{DynamicImage, ImageFormat};

use crate::FORMATS;

/// A cat, 451 x 300, RGB.
pub const CHELSEA: &[u8] = include_bytes!("../../../tests/pictures/chelsea.png");
/// The same cat as a JPEG with EXIF; orientation 6.
pub const CHELSEA_EXIF: &[u8] = include_bytes!("../../../tests/pictures/chelsea-exif.jpg");
/// A cup of coffee, 600 x 400, RGB.
pub const COFFEE: &[u8] = include_bytes!("../../../tests/pictures/coffee.png");
/// A QR code.
pub const TICKET: &[u8] = include_bytes!("../../../tests/pictures/qr-ticket.png");
/// A launch, 640 x 427.
pub const ROCKET: &[u8] = include_bytes!("../../../tests/pictures/rocket.jpg");

/// A picture written in a format.
pub fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture
        .write_to(&mut file, format)
        .expect("memory takes any picture");
    file.into_inner()
}

/// The cat at 64 x 48 in every format, with the format's name.
pub fn every_format() -> Vec<(&'static str, Vec<u8>)> {
    let cat = image::load_from_memory(CHELSEA).expect("the cat is whole");
    let cat = cat.resize_exact(64, 48, image::imageops::FilterType::Triangle);
    let rgba = DynamicImage::from(cat.to_rgba8());
    let write = |(format, name)| match format {
        ImageFormat::Gif | ImageFormat::Ico => (name, encode(&rgba, format)),
        _ => (name, encode(&cat, format)),
    };
    FORMATS.map(write).into()
}

/// A file of a few bytes that claims to be a PNG of 16,000 x 16,000 pixels.
pub fn bomb() -> Vec<u8> {
    let side = 16_000_u32.to_be_bytes();
    let header = [&side[..], &side, &[8, 6, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &header));
    // The start of a long run of zeroes, as zlib writes it.
    file.extend(chunk(
        b"IDAT",
        b"\x78\xda\xec\xc1\x01\x01\x00\x00\x00\x80\x90\xfe\xaf\xee\x08",
    ));
    file.extend(chunk(b"IEND", b""));
    file
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&name[..], data].concat();
    let length = u32::try_from(data.len()).expect("a short chunk");
    [&length.to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Checks that `P` refuses these bytes as invalid input, and that the message says this.
#[track_caller]
pub fn refuses<P: Plugin>(bytes: &[u8], says: &str) {
    let failure = failure_of::<P>(bytes);
    assert_eq!(failure.kind, Kind::InvalidInput, "{failure}");
    assert!(failure.message.contains(says), "{}", failure.message);
}

/// Checks that `P` refuses what is no picture, and that no broken one makes it panic.
#[track_caller]
pub fn stands_junk<P: Plugin>() {
    refuses::<P>(b" ", "found text");
    refuses::<P>(
        b"hello, this is no picture",
        "found text, accepted are png, jpeg",
    );
    refuses::<P>(&[0; 40], "found unknown bytes 00 00");
    refuses::<P>(b"\x89PNG\r\n\x1a\n", "the png is");
    refuses::<P>(b"\xff\xd8\xff\xe0", "the jpeg is");
    refuses::<P>(b"GIF89a", "the gif is");
    refuses::<P>(b"\0\0\0\x20ftypavif\0\0\0\0", "found image/avif");
    for (name, file) in every_format() {
        for (cut, case) in [("cut", truncations(&file)), ("flipped", flips(&file))] {
            case.iter()
                .for_each(|bytes| does_not_panic::<P>(name, cut, bytes));
        }
    }
}

/// Checks that `P` refuses every format cut in half, and a PNG that claims too many pixels.
#[track_caller]
pub fn refuses_what_cannot_be_decoded<P: Plugin>() {
    for (name, file) in every_format() {
        refuses::<P>(&file[..file.len() / 2], &format!("the {name} is"));
    }
    refuses::<P>(&bomb(), "found 16000 x 16000 pixels");
}

fn truncations(file: &[u8]) -> Vec<Vec<u8>> {
    let cut = |sixteenths| file[..file.len() * sixteenths / 16].to_vec();
    (0..16).map(cut).collect()
}

/// The file with one byte inverted, at places all over its header and some in its body.
fn flips(file: &[u8]) -> Vec<Vec<u8>> {
    let places = (0..file.len().min(64)).chain((64..file.len()).step_by(file.len() / 16 + 1));
    let flip = |place| {
        let mut flipped = file.to_vec();
        flipped[place] ^= 0xFF;
        flipped
    };
    places.map(flip).collect()
}

#[track_caller]
fn does_not_panic<P: Plugin>(name: &str, what: &str, bytes: &[u8]) {
    if let Err(failure) = call(bytes).run::<P>() {
        assert_eq!(failure.kind, Kind::InvalidInput, "{what} {name}: {failure}");
    }
}

#[track_caller]
fn failure_of<P: Plugin>(bytes: &[u8]) -> Failure {
    call(bytes).run::<P>().expect_err("this is refused")
}

fn call(bytes: &[u8]) -> Call<'_> {
    Call::new(bytes, "image/png")
}
