//! How jobs are kept and treated. Knows no store and sends nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::units::Span;

mod callbacks;
mod places;
mod postgres;

pub use callbacks::{Callbacks, HostPattern, Secret};
pub use places::{PayloadPlace, StorePlace};
pub use postgres::PostgresUrl;

/// How jobs are kept, run again, told of and forgotten.
#[derive(Clone, PartialEq, Eq)]
pub struct Jobs {
    /// `jobs.store`
    pub store: StorePlace,
    /// `jobs.payloads`
    pub payloads: PayloadPlace,
    /// `jobs.postgres_ca`
    pub postgres_ca: Option<PathBuf>,
    /// `jobs.retention`
    pub retention: Retention,
    /// `jobs.attempts`
    pub attempts: u32,
    /// `jobs.backoff`
    pub backoff: Span,
    /// `jobs.lease`
    pub lease: Span,
    /// `jobs.patience`
    pub patience: Span,
    /// `jobs.callbacks`
    pub callbacks: Callbacks,
    /// The variables `AWS_…` of the environment, where payloads are in S3.
    pub s3: BTreeMap<String, String>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            store: StorePlace::Sqlite,
            payloads: PayloadPlace::Files,
            postgres_ca: None,
            retention: Retention::default(),
            attempts: 3,
            backoff: Span::seconds(1),
            lease: Span::seconds(30),
            patience: Span::seconds(24 * 60 * 60),
            callbacks: Callbacks::default(),
            s3: BTreeMap::new(),
        }
    }
}

/// The variables hold keys to the bucket: only their names are shown.
impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("store", &self.store)
            .field("payloads", &self.payloads)
            .field("postgres_ca", &self.postgres_ca)
            .field("retention", &self.retention)
            .field("attempts", &self.attempts)
            .field("backoff", &self.backoff)
            .field("lease", &self.lease)
            .field("patience", &self.patience)
            .field("callbacks", &self.callbacks)
            .field("s3", &self.s3.keys())
            .finish()
    }
}

/// A job that has ended is forgotten as soon as either limit is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `jobs.retention.age`
    pub age: Span,
    /// `jobs.retention.count`
    pub count: usize,
    /// `jobs.retention.payloads`
    pub payloads: Span,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Span::seconds(7 * 24 * 60 * 60),
            count: 100_000,
            payloads: Span::seconds(10 * 60),
        }
    }
}

/// As much of a text as cannot hold a password: a word, or the scheme of a URL.
fn harmless(text: &str) -> String {
    let is_word = |text: &str| {
        let mut bytes = text.bytes();
        text.len() <= 32 && bytes.all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
    };
    match text.split_once("://") {
        Some((scheme, _)) if is_word(scheme) => format!("`{scheme}://…`"),
        None if is_word(text) => format!("`{text}`"),
        Some(_) | None => "this".to_owned(),
    }
}
