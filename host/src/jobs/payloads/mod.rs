//! Where the bytes of images, large results and attachments lie: found by their SHA-256, and the same bytes only
//! once. Knows no job.

mod files;
mod objects;

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::record::Time;
use crate::call::Payload;
use crate::names::Digest;

pub use files::FilePayloads;
pub use objects::ObjectPayloads;

/// Keeps bytes by their digest.
pub trait PayloadStore: Send + Sync {
    /// Keeps bytes: they are durable when the future is ready. Those that are there already count as put now.
    fn put(&self, sha256: Digest, data: Payload) -> BoxFuture<'_, Result<(), PayloadError>>;

    /// The bytes, checked against their digest; `None` where there are none.
    fn get(&self, sha256: Digest) -> BoxFuture<'_, Result<Option<Payload>, PayloadError>>;

    /// Hands all that nobody has put since `before` to `unused`, some at a time, and removes those that it gives
    /// back. Gives how many were removed.
    fn sweep<'a>(
        &'a self,
        before: Time,
        unused: &'a (dyn Fn(Vec<Digest>) -> BoxFuture<'a, Vec<Digest>> + Send + Sync),
    ) -> BoxFuture<'a, Result<u64, PayloadError>>;
}

/// Why bytes are not kept, or cannot be had.
#[derive(Clone, Debug, Error)]
pub enum PayloadError {
    /// There is no room.
    #[error("the payload store has no room: {0}")]
    Full(String),
    /// What is there has another digest.
    #[error("payload {sha256} is damaged: its bytes have the digest {found}")]
    Damaged {
        /// What it was kept under.
        sha256: Digest,
        /// What it has.
        found: Digest,
    },
    /// It did what it should not.
    #[error("the payload store: {0}")]
    Other(String),
}

/// The digest that these bytes are found by.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}
