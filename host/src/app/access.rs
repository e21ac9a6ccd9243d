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
        warn!(
            "everybody needs a token and there is none yet: make one with `bulkhead token create NAME --role admin{place}`"
        );
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::access::{New, Role, create};

    fn config(listen: &str) -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::built_in(folder.path().to_owned());
        config.server.listen = listen.parse().unwrap();
        (folder, config)
    }

    fn token(config: &Config) {
        let new = New {
            name: "first".to_owned(),
            role: Role::Admin,
            expires: None,
            rate: None,
        };
        create(&config.tokens(), new).unwrap();
    }

    #[test]
    fn only_this_machine_unless_told_or_there_are_tokens() {
        for local in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:80"] {
            assert!(open_access(&config(local).1).is_ok(), "{local}");
        }
        for open in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            let (_folder, mut config) = config(open);
            let refused = open_access(&config).err().unwrap().to_string();
            let create = format!(
                "`bulkhead token create NAME --role admin --state {}`",
                config.state.display()
            );
            assert!(
                refused.starts_with(&format!("`server.listen`: {open} can")),
                "{refused}"
            );
            assert!(refused.contains(&create), "{refused}");
            config.server.insecure = true;
            assert!(open_access(&config).is_ok());
            config.server.insecure = false;
            token(&config);
            assert!(open_access(&config).is_ok());
        }
    }

    #[test]
    fn tokens_that_cannot_be_read_keep_the_host_from_starting_anywhere() {
        for listen in ["127.0.0.1:0", "0.0.0.0:80"] {
            let (_folder, config) = config(listen);
            token(&config);
            fs::write(config.tokens(), "{}").unwrap();
            let refused = open_access(&config).err().unwrap();
            assert!(matches!(refused, AccessError::Tokens(_)), "{refused}");
        }
    }

    #[test]
    fn a_host_that_nobody_can_enter_starts() {
        let (_folder, mut config) = config("127.0.0.1:0");
        config.access.loopback = Loopback::Token;
        assert!(open_access(&config).unwrap().is_shut());
    }
}
