//! Who may use the host. Knows no token.

use std::path::PathBuf;

use serde::Deserialize;

/// Who may use the host, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The file with the digests of the tokens. Default: `tokens.json` in the state folder.
    pub tokens: Option<PathBuf>,
    /// Whether who comes over loopback or the Unix socket needs a token. Default: no.
    pub loopback: Loopback,
    /// How many requests each token may make a second, where it has no rate of its own; 0: as many as it likes.
    /// Default: 0.
    pub rate: u32,
    /// How many of these it may make at once. Default: 50.
    pub burst: u32,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            tokens: None,
            loopback: Loopback::Open,
            rate: 0,
            burst: 50,
        }
    }
}

/// What is asked of those who come from this machine, where the host listens for nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loopback {
    /// Nothing: they may do everything.
    Open,
    /// A token, as of everybody else.
    Token,
}
