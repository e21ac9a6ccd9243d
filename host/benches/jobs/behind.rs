//! What a store costs an analysis that somebody waits for, and that is written behind its answer.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::effort::Effort;
use crate::host::{Host, Lane};
use crate::table::{Titled, median, percentile};

/// How many turns each way has for one of other parts: the difference is small.
const TURNS: usize = 4;

/// A host, and how long calls took there.
struct Way {
    name: &'static str,
    host: Host,
    took: Vec<Duration>,
    means: Vec<f64>,
}

impl Way {
    fn new(name: &'static str, host: Host) -> Self {
        Self {
            name,
            host,
            took: Vec::new(),
            means: Vec::new(),
        }
    }

    async fn run(&mut self, turn: Duration) {
        let (began, mut count) = (Instant::now(), 0);
        while began.elapsed() < turn {
            let begins = Instant::now();
            self.host.analyze().await;
            self.took.push(begins.elapsed());
            count += 1;
        }
        let mean = began.elapsed().as_secs_f64() * 1e6 / f64::from(count);
        self.means.push(mean);
    }
}

pub(crate) fn measure(runtime: &Runtime, effort: &Effort) -> Titled {
    let mut ways = [
        Way::new("no", Host::without_store(runtime, Lane::Inline)),
        Way::new("SQLite", Host::new(runtime, Lane::Inline, "sqlite")),
    ];
    for _ in 0..effort.rounds * TURNS {
        for way in &mut ways {
            runtime.block_on(way.run(effort.turn));
        }
    }
    ways.iter().for_each(|way| way.host.close(runtime));
    let base = median(&ways[0].means);
    let row = |way: &Way| {
        let mean = median(&way.means);
        let mut row = vec![way.name.to_owned(), way.took.len().to_string()];
        row.extend(
            [50, 99].map(|percent| micros(percentile(&way.took, percent).as_secs_f64() * 1e6)),
        );
        row.extend([micros(mean), format!("{:.3}", mean / base)]);
        row
    };
    Titled {
        title: "An analysis that is waited for, inline, 1 client; median of the turns' means"
            .to_owned(),
        head: vec!["store", "calls", "p50", "p99", "mean", "ratio"],
        rows: ways.iter().map(row).collect(),
    }
}

fn micros(number: f64) -> String {
    format!("{number:.2} µs")
}
