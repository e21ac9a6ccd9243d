//! Calls, by all ways in turn: one table for each number of callers.

use std::time::Duration;

use bytes::Bytes;
use comfy_table::{Table, presets};
use tokio::runtime::Runtime;

use crate::governed::{Body, Governed};
use crate::peer::{Blocking, Kind, Waiting};
use crate::samples::{Samples, median, micros};
use crate::support::{Host, picture};

const SIZES: [(&str, usize); 4] = [
    ("64 B", 64),
    ("64 KB", 64_000),
    ("1 MB", 1_000_000),
    ("10 MB", 10_000_000),
];
const CALLERS: [usize; 2] = [1, 8];
/// The most callers; every way has as many places, so that nobody waits for one.
pub(crate) const PLACES: usize = 8;
const ROUNDS: usize = 31;
/// About how long one way has in one round.
const TURN: Duration = Duration::from_millis(10);
/// How many calls of each caller one turn has.
const TURN_CALLS: std::ops::RangeInclusive<u32> = 8..=400;

/// A way to have an image looked at.
pub(crate) trait Way {
    fn name(&self) -> &'static str;

    /// How long each of `calls` calls took, by each of `callers` at a time.
    fn run(&self, callers: usize, calls: usize, image: &Bytes) -> Samples;
}

/// Prints the tables.
pub(crate) fn measure(runtime: &Runtime) {
    let ways = ways(runtime);
    for callers in CALLERS {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "image",
            "way",
            "p50",
            "p99",
            "mean",
            "calls",
            "p50 : arena",
            "p50 : socket",
            "p50 : bare",
        ]);
        for (size, bytes) in SIZES {
            for row in compare(&ways, callers, &picture(bytes)) {
                table.add_row([vec![size.to_owned()], row].concat());
            }
        }
        println!("\n{callers} at a time\n{table}");
    }
}

/// The first is what ratios are to; so are the two at the end.
fn ways(runtime: &Runtime) -> Vec<Box<dyn Way + '_>> {
    let places = format!("concurrency = {PLACES}");
    let host = |settings: &str| {
        let settings = format!("{places}\n{settings}");
        std::sync::Arc::new(Host::new(runtime, "tiny", &settings))
    };
    let governed = |name, host: &std::sync::Arc<Host>, body| -> Box<dyn Way + '_> {
        Box::new(Governed::new(name, runtime, host, body))
    };
    let process = host("");
    let threads = host("lane = \"in-process\"");
    let inline = host("lane = \"in-process\"\ninline = true");
    vec![
        governed("process, image in the arena", &process, Body::Placed),
        governed("process, image on the heap", &process, Body::Heap),
        governed("in-process, threads", &threads, Body::Heap),
        governed("in-process, inline", &inline, Body::Heap),
        Box::new(Waiting::new(runtime)),
        Box::new(Blocking::new(Kind::Stream)),
        Box::new(Blocking::new(Kind::Packets)),
    ]
}

fn compare(ways: &[Box<dyn Way + '_>], callers: usize, image: &Bytes) -> Vec<Vec<String>> {
    let calls: Vec<_> = ways
        .iter()
        .map(|way| warm_up(&**way, callers, image))
        .collect();
    let mut all = vec![Vec::new(); ways.len()];
    let mut middles = vec![Vec::new(); ways.len()];
    for round in 0..ROUNDS {
        // Nobody always comes after the same one.
        for turn in 0..ways.len() {
            let turn = if round % 2 == 0 {
                turn
            } else {
                ways.len() - 1 - turn
            };
            let at = (turn + round / 2) % ways.len();
            let samples = ways[at].run(callers, calls[at], image);
            middles[at].push(samples.p50().as_secs_f64());
            all[at].push(samples);
        }
    }
    let bases = [0, ways.len() - 2, ways.len() - 1];
    let rows = ways
        .iter()
        .zip(all.into_iter().map(Samples::join))
        .zip(&middles);
    let rows = rows.map(|((way, samples), own)| {
        let told = [
            way.name().to_owned(),
            micros(samples.p50()),
            micros(samples.percentile(99)),
            micros(samples.mean()),
            samples.len().to_string(),
        ];
        let ratios = bases.map(|base| {
            let ratios = own.iter().zip(&middles[base]).map(|(own, base)| own / base);
            format!("{:.2}", median(ratios.collect()))
        });
        [told.to_vec(), ratios.to_vec()].concat()
    });
    rows.collect()
}

/// Runs until all is in place, and gives how many calls fit a turn.
fn warm_up(way: &dyn Way, callers: usize, image: &Bytes) -> usize {
    way.run(callers, 20, image);
    let each = way.run(callers, 20, image).p50();
    let calls = TURN.as_nanos() / each.as_nanos().max(1);
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    calls.clamp(*TURN_CALLS.start(), *TURN_CALLS.end()) as usize
}
