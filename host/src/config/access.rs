//! Who may use the host. Knows no token.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may use the host, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `access.tokens`
    pub tokens: Option<PathBuf>,
    /// `access.loopback`
    pub loopback: Loopback,
    /// `access.rate`
    pub rate: u32,
    /// `access.burst`
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Loopback {
    /// Nothing: they may do everything.
    Open,
    /// A token, as of everybody else.
    Token,
}
