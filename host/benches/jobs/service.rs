//! Jobs from their submission to their end, through the whole service, beside rows that are only written.

use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::effort::Effort;
use crate::host::{Host, Lane};
use crate::rows::Rows;
use crate::server;
use crate::table::{Titled, median, millis, percentile, whole};
use crate::way::{Kept, Way};

/// Who submits at a time.
const CLIENTS: [usize; 3] = [1, 8, 64];
/// Rows in one transaction, where there are several.
const GROUP: u32 = 64;

/// What the disk bears, a second, round by round.
#[derive(Default)]
struct Yardstick {
    pages: Vec<f64>,
    single: Vec<f64>,
    grouped: Vec<f64>,
}

pub(crate) fn measure(runtime: &Runtime, effort: &Effort) -> Vec<Titled> {
    let server = server::start();
    let mut stores = vec![("SQLite", "sqlite".to_owned())];
    let kept = |store: &(&'static str, String), lane| Kept {
        lane,
        store: store.0,
        host: Arc::new(Host::new(runtime, lane, &store.1)),
    };
    let lanes = [Lane::Inline, Lane::Process];
    let mut hosts: Vec<_> = lanes.map(|lane| kept(&stores[0], lane)).into();
    if let Some(server) = &server {
        for lane in lanes {
            stores.push(("PostgreSQL", server.database()));
            hosts.push(kept(&stores[stores.len() - 1], lane));
        }
    }
    let mut ways: Vec<_> = hosts.iter().flat_map(ways).collect();
    let (rows, mut yardstick) = (Rows::new(), Yardstick::default());
    for _ in 0..effort.rounds {
        yardstick.pages.push(rows.append(effort.turn));
        yardstick.single.push(rows.insert(1, effort.turn));
        yardstick.grouped.push(rows.insert(GROUP, effort.turn));
        for way in &mut ways {
            way.run(runtime, effort.turn);
        }
    }
    let tables = [
        yardstick.table(),
        rates(&ways, &yardstick),
        latencies(&ways),
    ];
    hosts.iter().for_each(|kept| kept.host.close(runtime));
    tables.into()
}

fn ways(kept: &Kept) -> Vec<Way<'_>> {
    let of = |waits: bool| CLIENTS.map(|clients| Way::new(kept, clients, waits));
    [of(true), of(false)].into_iter().flatten().collect()
}

impl Yardstick {
    fn table(&self) -> Titled {
        let single = median(&self.single);
        let row = |name: &str, rates: &[f64]| {
            let rate = median(rates);
            vec![
                name.to_owned(),
                whole(rate),
                format!("{:.2}", rate / single),
            ]
        };
        Titled {
            title: "The disk, without plugins and without a service".to_owned(),
            head: vec!["what", "a second", ": single rows"],
            rows: vec![
                row("4 KiB and fdatasync", &self.pages),
                row("single rows, SQLite", &self.single),
                row(&format!("rows, {GROUP} a transaction"), &self.grouped),
            ],
        }
    }
}

fn rates(ways: &[Way<'_>], yardstick: &Yardstick) -> Titled {
    let single = median(&yardstick.single);
    let grouped = median(&yardstick.grouped);
    let row = |way: &Way<'_>| {
        let rate = median(&way.rates);
        let jobs = way.took.len();
        let each = |spent: std::time::Duration| {
            let micros = spent.as_secs_f64() * 1e6 / jobs as f64;
            format!("{micros:.0} µs")
        };
        vec![
            way.kept.store.to_owned(),
            way.kept.lane.as_str().to_owned(),
            way.clients.to_string(),
            if way.waits { "for the end" } else { "no" }.to_owned(),
            jobs.to_string(),
            whole(rate),
            format!("{:.2}", rate / single),
            format!("{:.2}", rate / grouped),
            each(way.total),
            each(way.writer),
        ]
    };
    Titled {
        title:
            "Jobs from submission to end, median of the rounds; what a job takes of the processors"
                .to_owned(),
        head: vec![
            "store",
            "lane",
            "clients",
            "wait",
            "jobs",
            "a second",
            ": single rows",
            ": grouped",
            "host",
            "its writer",
        ],
        rows: ways.iter().map(row).collect(),
    }
}

fn latencies(ways: &[Way<'_>]) -> Titled {
    let row = |way: &Way<'_>| {
        let mut row = vec![
            way.kept.store.to_owned(),
            way.kept.lane.as_str().to_owned(),
            way.clients.to_string(),
        ];
        row.extend([50, 90, 99].map(|percent| millis(percentile(&way.took, percent))));
        row
    };
    Titled {
        title: "From submission until the end is known".to_owned(),
        head: vec!["store", "lane", "clients", "p50", "p90", "p99"],
        rows: ways.iter().filter(|way| way.waits).map(row).collect(),
    }
}
