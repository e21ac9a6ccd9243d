//! Where a daemon is, as a command line says. Asks it nothing.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::Common;
use super::daemon::{Address, Bearer, Daemon};
use super::exit::{Exit, Failure};
use crate::config::Environment;

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
    /// A file with the token to show to the daemon [default: that in BULKHEAD_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON: what the daemon answered
    #[arg(long)]
    pub(super) json: bool,
}

impl At {
    /// The daemon at `daemon`, else where the configuration says that it listens.
    pub(super) fn new(
        daemon: Option<Address>,
        config: Option<PathBuf>,
        token_file: Option<PathBuf>,
        json: bool,
    ) -> Self {
        let daemon = Some(daemon);
        Self {
            daemon,
            config,
            token_file,
            json,
        }
    }

    /// The daemon; nothing is sent yet.
    pub(super) fn daemon(self) -> Result<Daemon, Failure> {
        let token = self.token()?;
        let address = self.address()?;
        Ok(Daemon::at(address, token))
    }

    /// What the file says that was named, else the environment.
    fn token(&self) -> Result<Option<Bearer>, Failure> {
        let bad = |place: &str| {
            let problem =
                format!("{place} holds no token: it should be one line that begins with `bhk_`");
            Failure::new(Exit::Usage, problem)
        };
        if let Some(file) = &self.token_file {
            let place = format!("`{}`", file.display());
            let text = fs::read_to_string(file);
            let text = text.map_err(|error| {
                Failure::new(Exit::Usage, format_args!("cannot read {place}: {error}"))
            })?;
            return Bearer::new(&text).map(Some).ok_or_else(|| bad(&place));
        }
        match Environment::of_process().token()? {
            Some(text) => Bearer::new(&text)
                .map(Some)
                .ok_or_else(|| bad("BULKHEAD_TOKEN")),
            None => Ok(None),
        }
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
