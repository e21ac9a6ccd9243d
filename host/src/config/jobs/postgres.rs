//! The URL of a PostgreSQL database, which may hold a password: it is shown without. Connects to nothing.

use std::error::Error;
use std::fmt;

/// What is expected.
pub(super) const FORM: &str = "postgres://user:password@host/database?sslmode=require";

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where a PostgreSQL database is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl PostgresUrl {
    /// # Errors
    /// What is wrong, without what could be a password.
    pub fn parse(text: String) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}: write \"{FORM}\"");
        let url = Self(text);
        if url.has_stray_signs() {
            return Err(wrong(
                "a `/`, `?`, `#` or `@` in a user name or password is written `%2F`, `%3F`, `%23` or `%40`",
            ));
        }
        match url.0.parse::<tokio_postgres::Config>() {
            Ok(config) if config.get_hosts().is_empty() => Err(wrong("the URL names no host")),
            Ok(_) => Ok(url),
            // Nothing but names of options is in it: there are no credentials behind the `?`.
            Err(error) => match error.source() {
                Some(reason) => Err(wrong(&format!("the URL cannot be used: {reason}"))),
                None => Err(wrong("the URL cannot be used")),
            },
        }
    }

    /// The whole URL, with its password.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL without its scheme.
    fn rest(&self) -> (&str, &str) {
        let rest = |scheme: &&'static str| Some((*scheme, self.0.strip_prefix(scheme)?));
        SCHEMES.iter().find_map(rest).unwrap_or(("", ""))
    }

    /// Whether an `@` comes after what ends a host: who has it in a password would see half of it in messages.
    fn has_stray_signs(&self) -> bool {
        let (_, rest) = self.rest();
        let mut parts = rest.split('@');
        let ends = ['/', '?', '#'];
        let before = parts.next().unwrap_or_default();
        match (parts.next(), parts.next()) {
            (None, _) => false,
            (Some(_), None) => before.contains(ends),
            (Some(_), Some(_)) => true,
        }
    }
}

/// Without the password, and without options, which may hold one too.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.rest();
        let (who, place) = match rest.split_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, rest),
        };
        f.write_str(scheme)?;
        match who.map(|who| who.split_once(':')) {
            None => {}
            Some(Some((user, _))) => write!(f, "{user}:***@")?,
            Some(None) => write!(f, "{}@", who.unwrap_or_default())?,
        }
        match place.split_once('?') {
            Some((place, _)) => write!(f, "{place}?…"),
            None => f.write_str(place),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether a text is meant as such a URL.
pub(super) fn is_meant(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}
