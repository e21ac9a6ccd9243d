//! The camera, the moment and the exposure, from EXIF fields.

use exif::{DateTime, Exif, Field, In, Tag, Value};
use schemars::JsonSchema;
use serde::Serialize;

/// A maker's name is not a novel.
const LONGEST_TEXT: usize = 256;

/// The camera and what it was set to.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Camera {
    /// Who made the camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    make: Option<String>,
    /// Which camera it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// When the picture was taken, by the camera's clock: `2026-05-01T12:00:00`, with its offset
    /// from UTC where the camera wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_at: Option<String>,
    /// The exposure in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    exposure: Option<f64>,
    /// The aperture as its f-number: 2.8 for f/2.8.
    #[serde(skip_serializing_if = "Option::is_none")]
    aperture: Option<f64>,
    /// The sensitivity.
    #[serde(skip_serializing_if = "Option::is_none")]
    iso: Option<u32>,
    /// The focal length in millimetres.
    #[serde(skip_serializing_if = "Option::is_none")]
    focal_length: Option<f64>,
}

impl Camera {
    pub(crate) fn of(exif: &Exif) -> Self {
        Self {
            make: text(exif, Tag::Make),
            model: text(exif, Tag::Model),
            taken_at: taken_at(exif),
            exposure: positive(exif, Tag::ExposureTime),
            aperture: positive(exif, Tag::FNumber),
            iso: field(exif, Tag::PhotographicSensitivity).and_then(|iso| iso.value.get_uint(0)),
            focal_length: positive(exif, Tag::FocalLength),
        }
    }
}

fn field(exif: &Exif, tag: Tag) -> Option<&Field> {
    exif.get_field(tag, In::PRIMARY)
}

fn ascii(exif: &Exif, tag: Tag) -> Option<&[u8]> {
    match &field(exif, tag)?.value {
        Value::Ascii(parts) => parts.first().map(Vec::as_slice),
        _ => None,
    }
}

fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let text = String::from_utf8_lossy(ascii(exif, tag)?);
    let text: String = text.trim().chars().take(LONGEST_TEXT).collect();
    (!text.is_empty()).then_some(text)
}

/// Zero means unknown in these fields, and so does a fraction that is no number.
fn positive(exif: &Exif, tag: Tag) -> Option<f64> {
    match &field(exif, tag)?.value {
        Value::Rational(fractions) => fractions.first().map(exif::Rational::to_f64),
        _ => None,
    }
    .filter(|number| number.is_finite() && *number > 0.0)
}

fn taken_at(exif: &Exif) -> Option<String> {
    moment(exif, Tag::DateTimeOriginal, Tag::OffsetTimeOriginal)
        .or_else(|| moment(exif, Tag::DateTimeDigitized, Tag::OffsetTimeDigitized))
        .or_else(|| moment(exif, Tag::DateTime, Tag::OffsetTime))
}

fn moment(exif: &Exif, time: Tag, offset: Tag) -> Option<String> {
    let mut moment = DateTime::from_ascii(ascii(exif, time)?).ok()?;
    if let Some(offset) = ascii(exif, offset) {
        // Without a readable offset, the camera's own clock is all we know.
        let _ = moment.parse_offset(offset);
    }
    rfc_3339(&moment)
}

/// The parser takes any digits; what is no date is left out.
fn rfc_3339(at: &DateTime) -> Option<String> {
    let is_date = (1..=12).contains(&at.month) && (1..=31).contains(&at.day);
    let is_time = at.hour < 24 && at.minute < 60 && at.second <= 60;
    let offset = at.offset.map(offset).unwrap_or_default();
    (is_date && is_time).then(|| {
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{offset}",
            at.year, at.month, at.day, at.hour, at.minute, at.second
        )
    })
}

fn offset(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
