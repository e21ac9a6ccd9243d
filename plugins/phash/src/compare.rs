//! A hash from elsewhere, and how near a picture is to it.

use bulkhead_plugin::Error;
use image::DynamicImage;
use schemars::JsonSchema;
use serde::Serialize;

use crate::hash::{Bits, Kind};

/// How near two hashes are.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Comparison {
    /// The method of both hashes.
    kind: Kind,
    /// The bits in which they differ.
    distance: u32,
    /// The share of bits in which they agree: 1 for pictures that look the same, about 0.5 for
    /// unrelated ones.
    #[schemars(range(min = 0, max = 1))]
    similarity: f64,
}

/// The hash of another picture.
pub(crate) struct Other {
    kind: Kind,
    bits: Bits,
    bytes: Vec<u8>,
}

impl Other {
    /// Reads hexadecimal digits, upper or lower case.
    pub(crate) fn parse(hex: &str, kind: Kind, bits: Bits) -> Result<Self, Error> {
        let digits = usize::from(bits.count() / 4);
        let refuse = |found: String| {
            let message = format!(
                "`compare_to` is to be {digits} hexadecimal digits, a hash of {} bits: found {found}",
                bits.count()
            );
            Error::invalid_options(message)
                .with_detail("expected_digits", digits)
                .with_detail("found", &found)
        };
        if let Some(odd) = hex.chars().find(|digit| !digit.is_ascii_hexdigit()) {
            return Err(refuse(format!("the character `{}`", odd.escape_default())));
        }
        if hex.len() != digits {
            return Err(refuse(format!("{} digits", hex.len())));
        }
        let bytes = hex.as_bytes().chunks_exact(2).map(byte).collect();
        Ok(Self { kind, bits, bytes })
    }

    pub(crate) fn compare(&self, picture: &DynamicImage) -> Comparison {
        let hash = self.kind.hash(picture, self.bits);
        let pairs = hash.iter().zip(&self.bytes);
        let distance = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
        Comparison {
            kind: self.kind,
            distance,
            similarity: 1.0 - f64::from(distance) / f64::from(self.bits.count()),
        }
    }
}

fn byte(digits: &[u8]) -> u8 {
    let value = |digit: u8| char::from(digit).to_digit(16).expect("digits were checked") as u8;
    digits
        .iter()
        .fold(0, |byte, digit| byte << 4 | value(*digit))
}
