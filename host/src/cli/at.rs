//! Where a daemon is, as a command line says. Asks it nothing.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use super::daemon::{Address, Daemon};
use super::exit::{Exit, Failure};

/// A daemon, and the form of what is printed.
#[derive(Args)]
pub(super) struct At {
    /// The daemon's address, such as http://127.0.0.1:8077 or unix:/run/bulkhead/bulkhead.sock [default: the configuration's
    /// `server.listen`]
    #[arg(long, value_name = "URL", num_args = 0..=1)]
    daemon: Option<Option<Address>>,
    /// The configuration [default: bulkhead.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON: what the daemon answered
    #[arg(long)]
    pub(super) json: bool,
}

impl At {
    /// The daemon at `daemon`, else where the configuration says that it listens.
    pub(super) fn new(daemon: Option<Address>, config: Option<PathBuf>, json: bool) -> Self {
        let daemon = Some(daemon);
        Self {
            daemon,
            config,
            json,
        }
    }

    /// The daemon; nothing is sent yet.
    pub(super) fn daemon(self) -> Result<Daemon, Failure> {
        self.address().map(Daemon::at)
    }

    fn address(self) -> Result<Address, Failure> {
        if let Some(address) = self.daemon.flatten() {
            return Ok(address);
        }
        let common = Common {
            plugins: None,
            config: self.config,
        };
        // The daemon's own files are none of ours, so it does not matter where they are.
        let config = common.settings(None, Some(PathBuf::new()))?;
        let listen = config.server.listen;
        Address::of_listener(listen).ok_or_else(|| {
            let problem = format!(
                "`server.listen` is {listen}, which leaves the port open: name the daemon with --daemon"
            );
            Failure::new(Exit::Unavailable, problem)
        })
    }
}
