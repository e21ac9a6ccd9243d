//! `qr`: the QR codes in a picture, and other codes on request.
//!
//! Every code comes with its text, its format and its corners in pixels of the picture as it is to
//! be looked at (EXIF orientation applied), whose size is in the answer too. Several codes in one
//! picture, rotated, mirrored and inverted ones are found; a picture without any is an empty list.
//! Linear codes (EAN, Code 128, …) and other matrix codes (Aztec, Data Matrix, …) are looked for
//! where `formats` names them.

#![forbid(unsafe_code)]

mod format;
mod outline;
mod scan;

use bulkhead_plugin::{Context, Error, Plugin, Request, export_plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use format::Format;
use scan::Scan;

/// What to look for, and how hard.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The kinds of codes to look for. Each costs time.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    formats: Vec<Format>,
    /// Look longer: at more lines, and at light codes on dark ground.
    try_harder: bool,
    /// The most codes to answer with; the topmost are kept.
    #[schemars(range(min = 1, max = 1000))]
    max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            formats: vec![Format::Qr],
            try_harder: true,
            max: 100,
        }
    }
}

/// The codes of a picture.
#[derive(Serialize, JsonSchema)]
struct Codes {
    /// The codes, from top to bottom; empty where there are none.
    codes: Vec<Code>,
    /// The width of the upright picture, in which `corners` lie.
    width: u32,
    /// The height of the upright picture.
    height: u32,
}

/// One code.
#[derive(Serialize, JsonSchema)]
struct Code {
    /// What it reads.
    text: String,
    /// The kind of code.
    format: Format,
    /// Its outline. Of a matrix code the four corners, from its own top left, which may be anywhere
    /// in the picture, on along its top edge; of a linear code the two ends of the line that was
    /// read. A code that is hard to read may give the centres of its finder patterns instead.
    corners: Vec<Corner>,
    /// Its bytes in base64, where they are no readable text.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// A point in pixels: x to the right, y down, from the top left corner of the upright picture.
#[derive(Clone, Copy, Serialize, JsonSchema)]
struct Corner {
    /// Pixels from the left edge.
    x: f32,
    /// Pixels from the top edge.
    y: f32,
}

struct Qr;

impl Plugin for Qr {
    type Settings = ();
    type Options = Options;
    type Output = Codes;

    fn new(_: ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(
        &self,
        request: &Request<'_>,
        options: Options,
        context: &Context<'_>,
    ) -> Result<Codes, Error> {
        let picture = bulkhead_decode::upright(request.image())?;
        context.check_cancelled()?;
        let luma = bulkhead_decode::grey_on_white(picture);
        let (width, height) = luma.dimensions();
        let scan = Scan {
            luma: &luma,
            try_harder: options.try_harder,
        };
        let mut codes = scan.all(&options.formats, context)?;
        codes.sort_by(|a, b| outline::top(&a.corners).total_cmp(&outline::top(&b.corners)));
        codes.truncate(options.max);
        Ok(Codes {
            codes,
            width,
            height,
        })
    }
}

export_plugin! {
    Qr,
    name: "qr",
    accepts: bulkhead_decode::MIME_TYPES,
    summary: "The QR codes in a picture, each with its text and corners; bar codes and other matrix codes on request",
    thread_safe: true,
}

#[cfg(test)]
mod tests;
