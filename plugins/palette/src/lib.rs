//! `palette`: the dominant colours of a picture, each with its share of it.
//!
//! Pixels are sampled on a grid and gathered into clusters in Oklab, where distances are as eyes
//! see them. The answer is the same for the same picture and options, on every machine and with
//! every release of this plugin's dependencies. What is transparent does not count.

#![forbid(unsafe_code)]

mod kmeans;
mod oklab;

use bulkhead_plugin::{Context, Error, Plugin, Request, export_plugin};
use image::{DynamicImage, GenericImageView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use oklab::Lab;

/// How many colours, and where to begin.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The most colours to answer with; a picture of fewer colours gives fewer.
    #[schemars(range(min = 1, max = 16))]
    colours: u8,
    /// Where the search begins: another seed may settle on slightly other colours.
    seed: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            colours: 5,
            seed: 0,
        }
    }
}

/// The dominant colours.
#[derive(Serialize, JsonSchema)]
struct Palette {
    /// The colours, the largest share first; empty for a picture that is wholly transparent.
    colours: Vec<Colour>,
}

/// A colour and how much of the picture has it.
#[derive(Serialize, JsonSchema)]
struct Colour {
    /// The colour as CSS writes it: `#rrggbb`.
    hex: String,
    /// Red, green and blue in sRGB, 0 to 255.
    rgb: [u8; 3],
    /// The share of the visible pixels that are nearest to it; the shares add up to 1.
    #[schemars(range(min = 0, max = 1))]
    share: f64,
}

/// Samples along the longer side: enough that more change no share by a percent.
const SAMPLES: u32 = 128;

/// Fainter than this does not count as visible.
const VISIBLE: u8 = 128;

struct Extractor;

impl Plugin for Extractor {
    type Settings = ();
    type Options = Options;
    type Output = Palette;

    fn new(_: ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(
        &self,
        request: &Request<'_>,
        options: Options,
        context: &Context<'_>,
    ) -> Result<Palette, Error> {
        // A schema keeps this from callers; a count of zero would have no answer.
        if !(1..=16).contains(&options.colours) {
            let message = format!("`colours` is 1 to 16, not {}", options.colours);
            return Err(Error::invalid_options(message));
        }
        let picture = bulkhead_decode::Opened::new(request.image())?.decode()?;
        context.check_cancelled()?;
        context.progress(0.5);
        let samples = sample(&picture);
        let clusters = kmeans::clusters(&samples, options.colours.into(), options.seed, context)?;
        let colours = clusters
            .into_iter()
            .map(|cluster| colour(cluster.centre, cluster.size as f64 / samples.len() as f64));
        Ok(Palette {
            colours: colours.collect(),
        })
    }
}

/// The visible pixels of a grid over the picture. Single pixels, no means: a mean of two colours is
/// a colour that the picture may not have.
fn sample(picture: &DynamicImage) -> Vec<Lab> {
    let (width, height) = picture.dimensions();
    let step = width.max(height).div_ceil(SAMPLES).max(1);
    let grid = |length: u32| (step / 2..length).step_by(step as usize);
    // A strip thinner than half a step still has a first line.
    let lines = grid(height).chain((height <= step / 2).then_some(0));
    let pixels = lines.flat_map(|y| {
        grid(width)
            .chain((width <= step / 2).then_some(0))
            .map(move |x| (x, y))
    });
    pixels
        .map(|(x, y)| picture.get_pixel(x, y))
        .filter(|pixel| pixel[3] >= VISIBLE)
        .map(|pixel| Lab::from_rgb([pixel[0], pixel[1], pixel[2]]))
        .collect()
}

fn colour(centre: Lab, share: f64) -> Colour {
    let rgb = centre.to_rgb();
    let [red, green, blue] = rgb;
    Colour {
        hex: format!("#{red:02x}{green:02x}{blue:02x}"),
        rgb,
        share,
    }
}

export_plugin! {
    Extractor,
    name: "palette",
    accepts: bulkhead_decode::MIME_TYPES,
    summary: "The dominant colours of a picture and their shares, by k-means in Oklab; the same answer every time",
    thread_safe: true,
}

#[cfg(test)]
mod tests;
