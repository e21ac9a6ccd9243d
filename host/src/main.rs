//! The `bulkhead` command. Everything it can do is in [`bulkhead::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    bulkhead::cli::run()
}
