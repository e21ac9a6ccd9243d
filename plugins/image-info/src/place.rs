//! The place, from the GPS fields of EXIF.

use exif::{Exif, In, Rational, Tag, Value};
use schemars::JsonSchema;
use serde::Serialize;

/// Where a picture was taken, on WGS 84.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Place {
    /// Decimal degrees, north positive.
    #[schemars(range(min = -90, max = 90))]
    latitude: f64,
    /// Decimal degrees, east positive.
    #[schemars(range(min = -180, max = 180))]
    longitude: f64,
    /// Metres above the sea.
    #[serde(skip_serializing_if = "Option::is_none")]
    altitude: Option<f64>,
}

impl Place {
    /// The place; `None` where either coordinate is missing or lies outside the globe.
    pub(crate) fn of(exif: &Exif) -> Option<Self> {
        Some(Self {
            latitude: coordinate(exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, b"S", 90.0)?,
            longitude: coordinate(exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, b"W", 180.0)?,
            altitude: altitude(exif),
        })
    }
}

fn coordinate(exif: &Exif, tag: Tag, side: Tag, negative: &[u8], limit: f64) -> Option<f64> {
    let (degrees, rest) = fractions(exif, tag)?.split_first()?;
    let parts = [Some(degrees), rest.first(), rest.get(1)];
    let units = [1.0, 60.0, 3600.0];
    let sum = parts
        .iter()
        .zip(units)
        .filter_map(|(part, unit)| Some((*part)?.to_f64() / unit));
    let degrees: f64 = sum.sum();
    let is_negative = match &exif.get_field(side, In::PRIMARY)?.value {
        Value::Ascii(parts) => parts.first()?.trim_ascii().eq_ignore_ascii_case(negative),
        _ => return None,
    };
    let degrees = if is_negative { -degrees } else { degrees };
    (degrees.abs() <= limit).then(|| round(degrees, 1e7))
}

fn altitude(exif: &Exif) -> Option<f64> {
    let height = fractions(exif, Tag::GPSAltitude)?.first()?.to_f64();
    let side = exif.get_field(Tag::GPSAltitudeRef, In::PRIMARY);
    let is_below = side.and_then(|side| side.value.get_uint(0)) == Some(1);
    let height = if is_below { -height } else { height };
    height.is_finite().then(|| round(height, 1e3))
}

fn fractions(exif: &Exif, tag: Tag) -> Option<&[Rational]> {
    match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Rational(fractions) => Some(fractions),
        _ => None,
    }
}

/// Seven decimals are a centimetre: the rest is noise of the division.
fn round(number: f64, scale: f64) -> f64 {
    (number * scale).round() / scale
}
