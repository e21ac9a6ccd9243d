//! What stands in for payloads in S3 where the program was built without them: says so.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use super::super::{PayloadError, PayloadStore};
use crate::call::Payload;
use crate::jobs::Time;
use crate::names::Digest;

/// Would keep payloads as objects: this program was built without the feature `s3`.
pub enum ObjectPayloads {}

impl ObjectPayloads {
    /// Would open payloads in S3.
    ///
    /// # Errors
    /// Always.
    pub fn open(url: &str, _environment: &BTreeMap<String, String>) -> Result<Self, PayloadError> {
        let text = format!("`{url}` needs a bulkhead that was built with `--features s3`");
        Err(PayloadError::Other(text))
    }
}

impl PayloadStore for ObjectPayloads {
    fn put(&self, _: Digest, _: Payload) -> BoxFuture<'_, Result<(), PayloadError>> {
        match *self {}
    }

    fn get(&self, _: Digest) -> BoxFuture<'_, Result<Option<Payload>, PayloadError>> {
        match *self {}
    }

    fn sweep<'a>(
        &'a self,
        _: Time,
        _: &'a (dyn Fn(Vec<Digest>) -> BoxFuture<'a, Vec<Digest>> + Send + Sync),
    ) -> BoxFuture<'a, Result<u64, PayloadError>> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing() {
        let opened = ObjectPayloads::open("s3://bucket/prefix", &BTreeMap::new());
        let error = opened.err().unwrap().to_string();
        assert!(error.contains("`s3://bucket/prefix`"), "{error}");
        assert!(error.contains("built with `--features s3`"), "{error}");
    }
}
