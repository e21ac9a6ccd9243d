//! What it costs to keep jobs. The yardstick is a row and an fsync on the same disk, without plugins: all ratios of
//! jobs are to that. Then jobs through the whole service, with each store and each lane; a hundred thousand that wait;
//! and what a store costs those who wait for their answer.
//!
//! `cargo bench -p bulkhead --bench jobs [-- backlog|service|behind] [short]`. What is compared takes turns, round by
//! round in one run, and no job may fail; the ratios are what counts, because machines and their moods differ. All
//! files lie under `target/`, which must be on a real disk; those of PostgreSQL in the folder for temporary files.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to tell"
)]

mod backlog;
mod behind;
mod disk;
mod effort;
#[path = "../support/fixture.rs"]
mod fixture;
mod host;
mod lists;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "tests use more of it, from another crate"
)]
#[path = "../../../tests/src/postgres.rs"]
mod postgres;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "tests use more of it, from another crate"
)]
#[path = "../../../tests/src/process.rs"]
mod process;
mod queue;
mod rows;
mod server;
mod service;
mod spent;
mod table;
#[allow(unreachable_pub, reason = "tests use it from another crate")]
#[path = "../../../tests/src/wait.rs"]
mod wait;
mod way;

use effort::Effort;

fn main() {
    // Workers are this very program.
    if bulkhead::lane::worker::enter().is_some() {
        return;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if queue::enter(&arguments) {
        return;
    }
    // Without it, a test runner only wants to see that this can be run.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let words = || arguments.iter().filter(|it| !it.starts_with('-'));
    let effort = Effort::of(words().any(|word| word == "short"));
    let mut parts = words().filter(|word| *word != "short").peekable();
    let parts: Option<Vec<_>> = parts.peek().is_some().then(|| parts.collect());
    let wanted = |part: &str| {
        let parts = parts.as_ref();
        parts.is_none_or(|parts| parts.iter().any(|it| *it == part))
    };
    // As the daemon has it.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut tables = Vec::new();
    // First, while there is little in memory.
    if wanted("backlog") {
        tables.extend(backlog::measure(&runtime, &effort));
    }
    if wanted("service") {
        tables.extend(service::measure(&runtime, &effort));
    }
    if wanted("behind") {
        tables.push(behind::measure(&runtime, &effort));
    }
    tables.iter().for_each(table::Titled::print);
}
