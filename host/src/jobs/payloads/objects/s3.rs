//! Payloads as objects, `<prefix>/<sha256>`. Knows of S3 what `object_store` does not hide.

use std::collections::BTreeMap;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectMeta, ObjectStore as _, ObjectStoreExt as _,
    PutPayload, RetryConfig,
};

use super::super::{PayloadError, PayloadStore, digest_of};
use super::address::Address;
use crate::call::Payload;
use crate::jobs::Time;
use crate::names::Digest;

/// How long a server may take for one request, its bytes included.
const REQUEST: Duration = Duration::from_secs(60);

/// How often a request that failed is made again, and for how long.
const RETRIES: usize = 5;
const RETRY_FOR: Duration = Duration::from_secs(90);

/// How many digests are asked for at a time: as many as a server lists on a page.
const MOST_ASKED: usize = 1000;

/// How many objects are removed at the same time.
const AT_ONCE: usize = 16;

/// What servers say that have no room.
const FULL: &[&str] = &["507 Insufficient Storage", "StorageFull", "QuotaExceeded"];

/// Keeps payloads as objects in a bucket, which hosts may share.
///
/// A server offers no way to remove an object only if nobody has put it meanwhile. So between a last look at an
/// object and its removal, a few milliseconds, another put of the same bytes can be undone: only if nobody had put
/// them for as long as payloads are kept that no job needs.
pub struct ObjectPayloads {
    bucket: AmazonS3,
    prefix: Path,
}

impl ObjectPayloads {
    /// Payloads at `s3://bucket/prefix`, with what the environment says of the server: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP` and the like.
    /// Asks no server yet.
    ///
    /// # Errors
    /// When the address or the environment cannot be understood.
    pub fn open(url: &str, environment: &BTreeMap<String, String>) -> Result<Self, PayloadError> {
        let Address { bucket, prefix } = Address::parse(url)?;
        let client = ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(5))
            .with_timeout(REQUEST);
        let builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_client_options(client)
            .with_retry(retries());
        let bucket = environment.iter().fold(builder, with_variable).build();
        let bucket = bucket.map_err(error)?;
        Ok(Self { bucket, prefix })
    }

    fn path(&self, sha256: Digest) -> Path {
        self.prefix.clone().join(sha256.to_string())
    }

    async fn read(&self, sha256: Digest) -> Result<Option<Payload>, PayloadError> {
        let bytes = match self.bucket.get(&self.path(sha256)).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(error)?.bytes().await.map_err(error)?,
        };
        match digest_of(&bytes) {
            found if found == sha256 => Ok(Some(Payload::Heap(bytes))),
            found => Err(PayloadError::Damaged { sha256, found }),
        }
    }

    /// The digest of a payload that is old; `None` for what lies deeper, or is none of ours.
    fn old(&self, object: &ObjectMeta, before: Time) -> Option<Digest> {
        let digest = object.location.filename()?.parse().ok()?;
        let is_ours = object.location == self.path(digest);
        (is_ours && is_older(object, before)).then_some(digest)
    }

    /// Removes objects that are still as old as they were. Gives how many.
    async fn remove(&self, unused: Vec<Digest>, before: Time) -> Result<u64, PayloadError> {
        let removals = unused.into_iter().map(|it| self.remove_one(it, before));
        let removed = stream::iter(removals).buffer_unordered(AT_ONCE);
        removed.try_fold(0, async |sum, it| Ok(sum + it)).await
    }

    async fn remove_one(&self, sha256: Digest, before: Time) -> Result<u64, PayloadError> {
        let path = self.path(sha256);
        let done = match self.bucket.head(&path).await {
            Ok(object) if is_older(&object, before) => self.bucket.delete(&path).await,
            Ok(_) => return Ok(0),
            Err(gone) => Err(gone),
        };
        match done {
            Ok(()) => Ok(1),
            Err(Error::NotFound { .. }) => Ok(0),
            Err(failed) => Err(error(failed)),
        }
    }
}

impl PayloadStore for ObjectPayloads {
    fn put(&self, sha256: Digest, data: Payload) -> BoxFuture<'_, Result<(), PayloadError>> {
        let bytes = match data {
            Payload::Heap(bytes) => bytes,
            // A lane's memory is not held while a server takes its time.
            Payload::Slot(kept) => Bytes::copy_from_slice(kept.as_slice()),
        };
        Box::pin(async move {
            let path = self.path(sha256);
            let put = self.bucket.put(&path, PutPayload::from(bytes));
            put.await.map(drop).map_err(error)
        })
    }

    fn get(&self, sha256: Digest) -> BoxFuture<'_, Result<Option<Payload>, PayloadError>> {
        Box::pin(self.read(sha256))
    }

    fn sweep<'a>(
        &'a self,
        before: Time,
        unused: &'a (dyn Fn(Vec<Digest>) -> BoxFuture<'a, Vec<Digest>> + Send + Sync),
    ) -> BoxFuture<'a, Result<u64, PayloadError>> {
        Box::pin(async move {
            let listed = self.bucket.list(Some(&self.prefix)).map_err(error);
            let old = listed.try_filter_map(|it| ready(Ok(self.old(&it, before))));
            let mut pages = pin!(old.try_chunks(MOST_ASKED));
            let mut removed = 0;
            while let Some(page) = pages.next().await {
                let digests = page.map_err(|it| it.1)?;
                removed += self.remove(unused(digests).await, before).await?;
            }
            Ok(removed)
        })
    }
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

/// Variables that say nothing of S3 are none of ours.
fn with_variable(builder: AmazonS3Builder, (name, value): (&String, &String)) -> AmazonS3Builder {
    let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase());
    match key.and_then(|key| key.parse().ok()) {
        Some(key) => builder.with_config(key, value),
        None => builder,
    }
}

/// Servers say when an object was put to the second, and leave the rest out.
fn is_older(object: &ObjectMeta, before: Time) -> bool {
    object.last_modified + Duration::from_secs(1) <= before
}

fn error(error: Error) -> PayloadError {
    let text = error.to_string();
    if FULL.iter().any(|full| text.contains(full)) {
        return PayloadError::Full(text);
    }
    PayloadError::Other(text)
}
