//! The `bulkhead` command. Everything it can do is in [`bulkhead::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a worker is this binary too, and has no use for what follows.
    bulkhead::lane::worker::enter().unwrap_or_else(bulkhead::cli::run)
}
