//! Takes turns, and tells what came of them.

use std::time::Duration;

use comfy_table::{Table, presets};

use crate::client::{Clients, Turn};
use crate::fixture::picture;
use crate::server::{CONNECTIONS, Server};

const SIZES: [(&str, usize); 4] = [
    ("64B", 64),
    ("64KB", 64_000),
    ("1MB", 1_000_000),
    ("10MB", 10_000_000),
];
const CLIENTS: [usize; 3] = [1, 8, CONNECTIONS];
/// How long one way has in one round.
const TURN: Duration = Duration::from_millis(200);

/// Prints one table: of the sizes that are named, or of all where none is.
pub(crate) fn measure(rounds: usize, named: impl Fn(&str) -> bool) {
    let servers = [
        Server::bare(),
        Server::host(
            "in-process, inline",
            "lane = \"in-process\"\ninline = true\nconcurrency = 64",
        ),
        Server::host("in-process", "lane = \"in-process\""),
        Server::host("process", ""),
    ];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "body", "clients", "way", "a second", "p50", "p99", ": bare", "calls",
    ]);
    let is_any = SIZES.iter().any(|(size, _)| named(size));
    for (size, bytes) in SIZES {
        if is_any && !named(size) {
            continue;
        }
        for clients in CLIENTS {
            for row in compare(&servers, clients, bytes, rounds) {
                table.add_row([vec![size.to_owned(), clients.to_string()], row].concat());
            }
        }
    }
    println!("\n{table}");
}

/// All ways with these many clients and bytes: rates are those of the round in the middle.
fn compare(servers: &[Server], clients: usize, bytes: usize, rounds: usize) -> Vec<Vec<String>> {
    let body = picture(bytes);
    let mut ways: Vec<(Clients, Vec<Turn>)> = servers
        .iter()
        .map(|server| (Clients::new(server.address, clients, &body), Vec::new()))
        .collect();
    for (clients, _) in &ways {
        clients.run(TURN / 4);
    }
    for _ in 0..rounds {
        for (clients, turns) in &mut ways {
            turns.push(clients.run(TURN));
        }
    }
    let rates: Vec<f64> = ways.iter().map(|(_, turns)| rate(turns)).collect();
    let row = |((_, turns), (rate, server)): (&(Clients, Vec<Turn>), (&f64, &Server))| {
        let mut took: Vec<_> = turns.iter().flat_map(|turn| turn.took.clone()).collect();
        took.sort_unstable();
        let part = |percent: usize| millis(took[(took.len() - 1) * percent / 100]);
        vec![
            server.name.to_owned(),
            format!("{rate:.0}"),
            part(50),
            part(99),
            format!("{:.2}", rate / rates[0]),
            took.len().to_string(),
        ]
    };
    let described = rates.iter().zip(servers);
    ways.iter().zip(described).map(row).collect()
}

fn rate(turns: &[Turn]) -> f64 {
    let rate = |turn: &Turn| turn.took.len() as f64 / turn.elapsed.as_secs_f64();
    let mut rates: Vec<_> = turns.iter().map(rate).collect();
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn millis(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
