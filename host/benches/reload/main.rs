//! What a new build costs. First the time from the moment its file is closed until it has answered, and how much of
//! that is left after the file has settled; then what callers notice of one reload after the other.
//!
//! `cargo bench -p bulkhead --bench reload [-- swap|load]`. All ways take turns, round by round in one run, and no call
//! may fail in any of them; the ratios are what counts, because machines and their moods differ.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to tell"
)]

mod builds;
mod clients;
mod daemon;
#[path = "../support/fixture.rs"]
mod fixture;
mod load;
mod swap;
mod table;

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
    let named = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = |part: &str| named.is_none_or(|named| named == part);
    // As the daemon has it.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if wanted("swap") {
        swap::measure(&runtime);
    }
    if wanted("load") {
        load::measure(&runtime);
    }
}
