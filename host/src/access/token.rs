//! One token as it is kept: everything but its secret. Knows no file.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::role::Role;
use crate::names::Digest;

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its public part: what jobs say whose they are by.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Of its secret.
    #[serde(with = "hex")]
    pub(super) sha256: Digest,
    /// When it was made.
    #[serde(serialize_with = "timestamp")]
    pub created_at: DateTime<Utc>,
    /// When it ends; `None` for never.
    #[serde(default, serialize_with = "maybe_timestamp")]
    pub expires_at: Option<DateTime<Utc>>,
    /// How many requests it may make a second; `None` for what the configuration says.
    #[serde(default)]
    pub rate: Option<u32>,
}

impl Token {
    /// Whether its time is over.
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// When it was made, as text.
    pub fn created(&self) -> String {
        text_of(self.created_at)
    }

    /// When it ends, as text.
    pub fn expires(&self) -> Option<String> {
        self.expires_at.map(text_of)
    }
}

/// Checks what people want to call a token.
///
/// # Errors
/// When it is empty, too long, or no line of visible text.
pub(super) fn check_name(name: &str) -> Result<(), BadName> {
    let length = name.chars().count();
    let is_clean = name.trim() == name && !name.contains(char::is_control);
    if (1..=MAX_NAME).contains(&length) && is_clean {
        return Ok(());
    }
    Err(BadName(name.escape_debug().take(MAX_NAME).collect()))
}

/// Text that is no name of a token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no name for a token: give 1 to 64 characters on one line, without spaces round them"
)]
pub struct BadName(String);

fn text_of(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn timestamp<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text_of(*time))
}

fn maybe_timestamp<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(text_of).serialize(serializer)
}

/// A digest as 64 hex digits.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::names::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digest.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        let bad = || D::Error::custom("`sha256` is not 64 hex digits");
        text.parse().map_err(|_| bad())
    }
}
