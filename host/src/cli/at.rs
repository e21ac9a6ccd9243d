//! Where a daemon is, as a command line says. Asks it nothing.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use ureq::tls::RootCerts;

use super::Common;
use super::address::Address;
use super::daemon::{Bearer, Daemon};
use super::exit::{Exit, Failure};
use super::trust;
use crate::config::Environment;

/// A daemon, and the form of what is printed.
#[derive(Args)]
pub(super) struct At {
    /// The daemon's address, such as http://127.0.0.1:8077, https://host.example:8077 or unix:/run/bulkhead/bulkhead.sock
    /// [default: the configuration's `server.listen`]
    #[arg(long, value_name = "URL", num_args = 0..=1)]
    pub(super) daemon: Option<Option<Address>>,
    /// The configuration [default: bulkhead.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A file with the token to show to the daemon [default: that in BULKHEAD_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// A file with the certificates, in PEM, that are to vouch for a daemon that speaks TLS [default: BULKHEAD_CA_FILE, else
    /// those that the system trusts]
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Print JSON: what the daemon answered
    #[arg(long)]
    pub(super) json: bool,
}

impl At {
    /// The daemon; nothing is sent yet.
    pub(super) fn daemon(self) -> Result<Daemon, Failure> {
        let token = self.token()?;
        let ca_file = self.ca_file.clone();
        let ca_file = ca_file.or_else(|| Environment::of_process().ca_file());
        let (address, own) = self.address()?;
        let trusted = match (ca_file, &address) {
            (Some(file), _) => trust::named(&file)?,
            (None, Address::Tls(_)) => trust::of_system(own.as_deref()),
            // Nobody is asked who they are.
            (None, Address::Tcp(_) | Address::Unix(_)) => RootCerts::WebPki,
        };
        Ok(Daemon::at(address, token, trusted))
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

    /// The address that was named, else that of the configuration, with the certificate that is shown there.
    fn address(self) -> Result<(Address, Option<PathBuf>), Failure> {
        if let Some(address) = self.daemon.flatten() {
            return Ok((address, None));
        }
        let common = Common {
            plugins: None,
            config: self.config,
        };
        // The daemon's own files are none of ours, so it does not matter where they are.
        let config = common.settings(None, Some(PathBuf::new()))?;
        let (listen, own) = (config.server.listen, config.server.tls.certificate);
        match Address::of_listener(listen, own.is_some()) {
            Some(address) => Ok((address, own)),
            None => {
                let problem = format!(
                    "`server.listen` is {listen}, which leaves the port open: name the daemon with --daemon"
                );
                Err(Failure::new(Exit::Unavailable, problem))
            }
        }
    }
}
