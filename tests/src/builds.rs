//! Builds of one plugin, `builds`, as many as a test wants: its file with another mark in it. Needs no
//! compiler for any of them, and takes milliseconds.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::fixtures::fixture;

/// The plugin's name.
pub const BUILDS: &str = "builds";

/// The name of its file.
pub const FILE: &str = "libbuilds.so";

/// The version that all builds have, unless they are given another.
pub const VERSION: &str = "1.40404.0";

/// What stands before the number.
const MARK: &[u8] = b"BULKHEAD-BUILD:";

/// How long number and way may be, with what separates them.
const ROOM: usize = 64 - MARK.len();

/// One build of the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// What each of its answers says, up to 9999.
    pub number: u16,
    /// How it goes wrong, as its `Way` is written: `fine`, `crash`, `unfit`.
    pub way: &'a str,
    /// A version of nine characters: `2.10000.0`.
    pub version: &'a str,
}

impl Build<'static> {
    /// A build that goes well.
    pub fn fine(number: u16) -> Self {
        Self {
            number,
            way: "fine",
            version: VERSION,
        }
    }
}

impl Build<'_> {
    /// The bytes of its file.
    pub fn bytes(&self) -> Vec<u8> {
        let mark = format!("{:04};way={};", self.number, self.way);
        assert!(mark.len() <= ROOM, "no room for {mark}");
        assert!(self.number <= 9999, "no room for {}", self.number);
        assert_eq!(self.version.len(), VERSION.len(), "{}", self.version);
        let base = Base::get();
        let mut bytes = base.bytes.clone();
        write(&mut bytes, base.mark, mark.as_bytes());
        for &place in &base.versions {
            write(&mut bytes, place, self.version.as_bytes());
        }
        bytes
    }

    /// The generation that it is loaded as: the first twelve hexadecimal digits of its file's SHA-256.
    pub fn generation(&self) -> String {
        generation(&self.bytes())
    }
}

/// The file of a build that goes wrong in that way.
pub fn bytes(number: u16, way: &str) -> Vec<u8> {
    let build = Build {
        way,
        ..Build::fine(number)
    };
    build.bytes()
}

/// The generation that a file is loaded as.
pub fn generation(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The file that all builds are made of, and where it says what differs.
struct Base {
    bytes: Vec<u8>,
    mark: usize,
    versions: Vec<usize>,
}

impl Base {
    fn get() -> &'static Self {
        static BASE: OnceLock<Base> = OnceLock::new();
        BASE.get_or_init(|| Self::of(stripped()))
    }

    fn of(bytes: Vec<u8>) -> Self {
        let marks = places(&bytes, MARK);
        let [mark] = marks[..] else {
            panic!("the fixture has its mark in the places {marks:?}");
        };
        let versions = places(&bytes, VERSION.as_bytes());
        // In the note, and in what its code says.
        assert!(versions.len() >= 2, "its version is in {versions:?}");
        Self {
            mark: mark + MARK.len(),
            versions,
            bytes,
        }
    }
}

/// The fixture without its tables of lines: they are two thirds of what is copied and hashed. Where
/// there is no `strip` it is taken as it is.
fn stripped() -> Vec<u8> {
    let library = fixture("fixture-builds");
    let folder = tempfile::tempdir().unwrap();
    let smaller = folder.path().join(FILE);
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg(&library);
    let stripped = strip.arg("-o").arg(&smaller).status();
    match stripped {
        Ok(status) if status.success() => fs::read(smaller).unwrap(),
        other => {
            eprintln!("strip has not made the fixture smaller: {other:?}");
            fs::read(library).unwrap()
        }
    }
}

fn write(bytes: &mut [u8], place: usize, text: &[u8]) {
    bytes[place..place + text.len()].copy_from_slice(text);
}

/// Where these bytes stand.
fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(wanted.len()).enumerate();
    let found = windows.filter(|(_, window)| *window == wanted);
    found.map(|(place, _)| place).collect()
}
