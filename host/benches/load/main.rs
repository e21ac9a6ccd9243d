//! What HTTP costs: the same requests to a bare handler, which reads the body and answers the same JSON, and to a host
//! with a plugin that does next to nothing, in its own process and in workers.
//!
//! `cargo bench -p bulkhead --bench load [-- quick] [64B|64KB|1MB|10MB]`. Server and clients share the machine. All ways take turns, round by
//! round in one run; the ratios are what counts, because machines and their moods differ.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to tell"
)]

mod client;
#[path = "../support/fixture.rs"]
mod fixture;
mod server;
mod turns;

fn main() {
    // Workers are this very program.
    if bulkhead::lane::worker::enter().is_some() {
        return;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // Without it, a test runner only wants to see that this can be run.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let is_quick = arguments.iter().any(|argument| argument == "quick");
    let named = |size: &str| arguments.iter().any(|argument| argument == size);
    turns::measure(if is_quick { 3 } else { 11 }, named);
}
