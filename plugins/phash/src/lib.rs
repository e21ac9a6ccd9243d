//! `phash`: perceptual hashes, which tell whether two pictures look alike.
//!
//! A picture that was scaled, compressed again or turned by its EXIF keeps nearly the same hash;
//! the number of bits that differ is how much it changed. Four methods are on offer, in 64 or 256
//! bits, and one hash can be compared right away. A ThumbHash comes with them: a blurred stand-in
//! of some 25 bytes to be shown until the picture has loaded.

#![forbid(unsafe_code)]

mod compare;
mod hash;
mod thumb;

use bulkhead_plugin::{Context, Error, Plugin, Request, export_plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use compare::{Comparison, Other};
use hash::{Bits, Hash, Kind};

/// Which hashes to make, and what to compare with.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The methods.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    kinds: Vec<Kind>,
    /// The bits of each hash: 64 suit most pictures, 256 tell near ones apart.
    bits: Bits,
    /// A hash that another picture had, in hexadecimal digits, to be compared with this one's.
    compare_to: Option<String>,
    /// The method that made `compare_to`.
    kind: Kind,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::Mean, Kind::Gradient, Kind::Dct, Kind::Block],
            bits: Bits::default(),
            compare_to: None,
            kind: Kind::Dct,
        }
    }
}

/// The hashes of a picture.
#[derive(Serialize, JsonSchema)]
struct Hashes {
    /// One hash for each of the methods that were asked for.
    hashes: Vec<Hash>,
    /// How near the picture is to `compare_to`; null without one.
    comparison: Option<Comparison>,
    /// The ThumbHash in base64: a blurred stand-in that a page can show while the picture loads.
    thumbhash: String,
}

struct Phash;

impl Plugin for Phash {
    type Settings = ();
    type Options = Options;
    type Output = Hashes;

    fn new(_: ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(
        &self,
        request: &Request<'_>,
        options: Options,
        context: &Context<'_>,
    ) -> Result<Hashes, Error> {
        let other = options
            .compare_to
            .as_deref()
            .map(|hex| Other::parse(hex, options.kind, options.bits))
            .transpose()?;
        let picture = bulkhead_decode::upright(request.image())?;
        context.check_cancelled()?;
        let thumbhash = thumb::base64(&picture);
        let picture = hash::shrink(picture);
        Ok(Hashes {
            hashes: hash::all(&picture, &options.kinds, options.bits, context)?,
            comparison: other.map(|other| other.compare(&picture)),
            thumbhash,
        })
    }
}

export_plugin! {
    Phash,
    name: "phash",
    accepts: bulkhead_decode::MIME_TYPES,
    summary: "Perceptual hashes that tell whether two pictures look alike, a comparison with a known one, and a ThumbHash",
    thread_safe: true,
}

#[cfg(test)]
mod tests;
