//! The hashes, by method and size.

use bulkhead_plugin::{Context, Error};
use image::{DynamicImage, imageops::FilterType};
use image_hasher::{BitOrder, HashAlg, HasherConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A method to make a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// aHash: each spot against the mean. The quickest, and the first to be fooled.
    Mean,
    /// dHash: each spot against its neighbour. Ignores brightness and contrast.
    Gradient,
    /// pHash: the low frequencies of a cosine transform. The most robust.
    Dct,
    /// Blockhash: each block against the median of its band, as blockhash.io does.
    Block,
}

/// The size of a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16", extend("enum" = [64, 256]))]
pub(crate) enum Bits {
    #[default]
    Few,
    Many,
}

/// A hash and how it was made: what is needed to compare it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Hash {
    /// The method.
    kind: Kind,
    /// The number of bits.
    bits: Bits,
    /// The bits in hexadecimal digits.
    hex: String,
}

/// The larger side of what is hashed. No method sees finer than this.
const SIDE: u32 = 512;

/// Makes a large picture small once instead of once for each method.
pub(crate) fn shrink(picture: DynamicImage) -> DynamicImage {
    let grey = DynamicImage::from(bulkhead_decode::grey_on_white(picture));
    if grey.width().max(grey.height()) > SIDE {
        // A fixed filter: the hash of a picture must not change with a release.
        grey.resize(SIDE, SIDE, FilterType::Triangle)
    } else {
        grey
    }
}

pub(crate) fn all(
    picture: &DynamicImage,
    kinds: &[Kind],
    bits: Bits,
    context: &Context<'_>,
) -> Result<Vec<Hash>, Error> {
    let hash = |kind: &Kind| {
        context.check_cancelled()?;
        let hex = hex(&kind.hash(picture, bits));
        Ok(Hash {
            kind: *kind,
            bits,
            hex,
        })
    };
    kinds.iter().map(hash).collect()
}

impl Kind {
    pub(crate) fn hash(self, picture: &DynamicImage, bits: Bits) -> Vec<u8> {
        let config = HasherConfig::new()
            .hash_size(bits.side(), bits.side())
            .bit_order(BitOrder::MsbFirst);
        let config = match self {
            Self::Mean => config.hash_alg(HashAlg::Mean),
            Self::Gradient => config.hash_alg(HashAlg::Gradient),
            Self::Dct => config.hash_alg(HashAlg::Median).preproc_dct(),
            Self::Block => config.hash_alg(HashAlg::Blockhash),
        };
        config.to_hasher().hash_image(picture).as_bytes().to_vec()
    }
}

impl Bits {
    pub(crate) fn count(self) -> u16 {
        self.into()
    }

    fn side(self) -> u32 {
        match self {
            Self::Few => 8,
            Self::Many => 16,
        }
    }
}

impl From<Bits> for u16 {
    fn from(bits: Bits) -> Self {
        match bits {
            Bits::Few => 64,
            Bits::Many => 256,
        }
    }
}

impl TryFrom<u16> for Bits {
    type Error = String;

    fn try_from(bits: u16) -> Result<Self, String> {
        match bits {
            64 => Ok(Self::Few),
            256 => Ok(Self::Many),
            _ => Err(format!("a hash has 64 or 256 bits, not {bits}")),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
