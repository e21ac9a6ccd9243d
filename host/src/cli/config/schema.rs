//! `bulkhead config schema`

use clap::Args;

use crate::cli::exit::Exit;
use crate::cli::print;
use crate::config;

/// Print the JSON Schema of the configuration, for editors
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Schema {}

const EXAMPLES: &str = "\
Examples:
  bulkhead config schema > bulkhead.schema.json

An editor that knows taplo takes it from the first line of bulkhead.toml:
  #:schema ./bulkhead.schema.json";

impl Schema {
    #[expect(clippy::unused_self, reason = "each command is run as itself")]
    pub(super) fn run(self) -> Exit {
        print::document(&config::schema());
        Exit::Success
    }
}
