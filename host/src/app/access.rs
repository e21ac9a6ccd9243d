//! The gate of a host, from its settings; and whether it may be opened at all.

use std::net::SocketAddr;

use thiserror::Error;
use tracing::warn;

use crate::access::{Access, FileError, Rules};
use crate::config::{Config, Loopback};

/// Why a host must not let anybody in.
#[derive(Debug, Error)]
pub enum AccessError {
    /// It is not known who may.
    #[error(transparent)]
    Tokens(#[from] FileError),
    /// Strangers could.
    #[error(
        "`server.listen`: {listen} can be reached from other machines, and there are no tokens yet to keep strangers \
         out: make one with `bulkhead token create NAME --role admin{place}`, or use a loopback address such as \
         127.0.0.1, or set `insecure = true` in [server] if that is meant"
    )]
    Exposed {
        /// Where it listens.
        listen: SocketAddr,
        /// The flag that names the place of the tokens.
        place: String,
    },
}

/// The gate that the settings ask for.
///
/// # Errors
/// When the tokens cannot be known, or strangers would be let in.
pub fn open_access(config: &Config) -> Result<Access, AccessError> {
    let access = Access::open(&config.tokens(), rules(config))?;
    if access.is_exposed() {
        let listen = config.server.listen;
        let place = place(config);
        return Err(AccessError::Exposed { listen, place });
    }
    if access.is_shut() {
        let place = place(config);
        warn!("everybody needs a token and there is none yet: make one with `bulkhead token create NAME --role admin{place}`");
    }
    Ok(access)
}

fn rules(config: &Config) -> Rules {
    Rules {
        is_local: config.server.is_local(),
        local_needs: config.access.loopback == Loopback::Token,
        insecure: config.server.insecure,
        rate: config.access.rate,
        burst: config.access.burst,
    }
}

/// Said only where a command would not find it by itself.
fn place(config: &Config) -> String {
    match &config.access.tokens {
        // It stands in the configuration, which the command reads too.
        Some(_) => String::new(),
        None => format!(" --state {}", config.state.display()),
    }
}
