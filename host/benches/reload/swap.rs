//! From the file that is closed to the first answer of the build in it.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::builds::Builds;
use crate::daemon::Daemon;
use crate::table::{millis, percentile, print};

/// What is installed how often in each of the ways.
const RELOADS: usize = 40;
/// By default, and the shortest that may be set.
const SETTLES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(20)];
/// As the fixture is, and about as large as a plugin gets that has all its decoders in it.
const SIZES: [usize; 2] = [0, 8 << 20];

/// A daemon, and how long each reload took there.
struct Way<'a> {
    daemon: Daemon<'a>,
    settle: Duration,
    took: Vec<Duration>,
}

impl Way<'_> {
    /// One reload, with somebody who calls all the time.
    fn reload(&mut self) {
        let client = self.daemon.client();
        client.call();
        let (number, closed) = self.daemon.install();
        loop {
            let answered = client.call();
            if answered.build == number {
                self.took.push(answered.at - closed);
                return;
            }
        }
    }

    fn row(&self) -> Vec<String> {
        let size = self.daemon.size() as f64 / f64::from(1 << 20);
        let total = |percent| percentile(&self.took, percent);
        let after = |percent| total(percent).saturating_sub(self.settle);
        let mut row = vec![
            format!("{:.0} ms", self.settle.as_millis()),
            format!("{size:.1} MiB"),
        ];
        row.extend([50, 90, 100].map(|percent| millis(total(percent))));
        row.extend([50, 90, 100].map(|percent| millis(after(percent))));
        row
    }
}

pub(crate) fn measure(runtime: &Runtime) {
    let ways = SETTLES
        .iter()
        .flat_map(|settle| SIZES.map(|size| (*settle, size)));
    let ways = ways.map(|(settle, size)| Way {
        daemon: Daemon::start(runtime, Builds::new(size), settle),
        settle,
        took: Vec::new(),
    });
    let mut ways: Vec<_> = ways.collect();
    for _ in 0..RELOADS {
        ways.iter_mut().for_each(Way::reload);
    }
    println!("\nFrom the closed file to the first answer, {RELOADS} reloads each, no call failed:");
    let head = [
        "settle",
        "size",
        "p50",
        "p90",
        "max",
        "after: p50",
        "p90",
        "max",
    ];
    print(&head, ways.iter().map(Way::row));
}
