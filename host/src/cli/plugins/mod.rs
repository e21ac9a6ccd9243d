//! `bulkhead plugins`: what a folder holds, or what a daemon serves, and what is to become of it.

mod folder;
mod served;
mod tell;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Common;
use super::address::Address;
use super::at::At;
use super::exit::{Exit, Failure};
use served::{Action, Asked};

/// Show what a folder of plugins holds, without running any of it, or what a daemon serves
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct Plugins {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    /// Show what the daemon at this address serves instead [default: the configuration's `server.listen`]
    #[arg(long, value_name = "URL", num_args = 0..=1, conflicts_with = "plugins")]
    daemon: Option<Option<Address>>,
    /// A file with the token to show to the daemon [default: that in BULKHEAD_TOKEN]
    #[arg(long, value_name = "FILE", requires = "daemon")]
    token_file: Option<PathBuf>,
    /// A file with the certificates, in PEM, that are to vouch for a daemon that speaks TLS [default: BULKHEAD_CA_FILE, else
    /// those that the system trusts]
    #[arg(long, value_name = "FILE", requires = "daemon")]
    ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  bulkhead plugins --plugins target/release
  bulkhead plugins list --daemon http://127.0.0.1:8077
  bulkhead plugins list --daemon unix:/run/bulkhead/bulkhead.sock
  bulkhead plugins show palette --json
  bulkhead plugins rollback palette";

#[derive(Subcommand)]
enum Command {
    /// Show what a daemon serves
    List(At),
    /// Show all that a daemon knows of a plugin
    Show(Asked),
    /// Have a daemon go back to the build of a plugin that served before
    Rollback(Asked),
    /// Have a daemon look at a plugin's file again
    Reload(Asked),
    /// Have a daemon take a plugin back into service
    Enable(Asked),
    /// Have a daemon refuse a plugin's calls until it is enabled
    Disable(Asked),
}

impl Plugins {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match (self.command, self.daemon) {
            (Some(command), _) => command.run(),
            (None, Some(daemon)) => {
                let at = At {
                    daemon: Some(daemon),
                    config: self.common.config,
                    token_file: self.token_file,
                    ca_file: self.ca_file,
                    json: self.json,
                };
                at.list()
            }
            (None, None) => folder::show(self.common, self.json),
        }
    }
}

impl Command {
    fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::List(at) => at.list(),
            Self::Show(asked) => asked.show(),
            Self::Rollback(asked) => asked.act(Action::Rollback),
            Self::Reload(asked) => asked.act(Action::Reload),
            Self::Enable(asked) => asked.act(Action::Enable),
            Self::Disable(asked) => asked.act(Action::Disable),
        }
    }
}
