//! `bulkhead config`: what the settings are, and whether they are good.

mod check;
mod schema;
mod show;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};

/// Show and check the settings
#[derive(Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show every setting, resolved, and which source said so; secrets are stars
    Show(show::Show),
    /// Say whether a configuration is good, and what in it is odd
    Check(check::Check),
    /// Print the JSON Schema of the configuration, for editors
    Schema(schema::Schema),
}

impl Config {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Show(show) => show.run(),
            Command::Check(check) => check.run(),
            Command::Schema(schema) => Ok(schema.run()),
        }
    }
}
