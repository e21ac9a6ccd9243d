//! What isolation costs: the same governed call in a worker and in the host's own process, beside a
//! plain blocking Unix socket to a process that reads the whole body, and beside bare round trips to
//! another process, which nothing that asks one can be faster than. Then what a fault costs: until
//! its envelope, and until all places answer again.
//!
//! `cargo bench -p bulkhead --bench isolation [-- calls|faults]`. All ways take turns, round by round
//! in one run; the ratios are what counts, because machines and their moods differ.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to tell"
)]

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod governed;
#[cfg(target_os = "linux")]
mod peer;
#[cfg(target_os = "linux")]
mod samples;
#[cfg(target_os = "linux")]
#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
fn main() {
    // Workers are this very program, and so are the peers of sockets.
    if bulkhead::lane::worker::enter().is_some() || peer::enter() {
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
    if wanted("calls") {
        calls::measure(&runtime);
    }
    if wanted("faults") {
        faults::measure(&runtime);
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("isolation is measured on Linux, whose side of the platform is the fast one");
}
