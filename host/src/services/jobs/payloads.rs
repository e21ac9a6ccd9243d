//! Where payloads go: small ones into the store itself, in the same step as their job, large ones beside it. Knows
//! no job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::durable::{not_kept, refused};
use crate::call::Payload;
use crate::error::CallError;
use crate::jobs::{PayloadStore, SharedStore, Time, digest_of};
use crate::names::Digest;

/// The largest payload that the store keeps itself where there is another place, in bytes. A file of its own costs
/// two more waits for the disk; a large one in the store would be written twice.
pub(super) const SMALL: usize = 64 << 10;
/// From how many bytes on a digest is made on a thread that may take its time.
const LONG: usize = 256 << 10;

/// Where payloads lie.
pub(super) struct Payloads {
    store: SharedStore,
    place: Option<Arc<dyn PayloadStore>>,
    arriving: Arc<Mutex<HashMap<Digest, usize>>>,
}

/// A payload whose job does not need it yet, as far as the store knows: not removed as long as this lives.
pub(super) struct Arriving {
    sha256: Digest,
    all: Arc<Mutex<HashMap<Digest, usize>>>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.sha256) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.sha256);
            }
        }
    }
}

impl Payloads {
    /// Payloads in `store`, the large ones in `place` where there is one.
    pub(super) fn new(store: SharedStore, place: Option<Arc<dyn PayloadStore>>) -> Self {
        let arriving = Arc::default();
        Self {
            store,
            place,
            arriving,
        }
    }

    /// Keeps a payload from being removed, whatever the store says of it.
    fn arrive(&self, sha256: Digest) -> Arriving {
        let all = Arc::clone(&self.arriving);
        let mut arriving = all.lock().unwrap_or_else(PoisonError::into_inner);
        *arriving.entry(sha256).or_default() += 1;
        drop(arriving);
        Arriving { sha256, all }
    }

    /// Those of `payloads` that no job is about to need.
    pub(super) fn not_arriving(&self, mut payloads: Vec<Digest>) -> Vec<Digest> {
        let arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        payloads.retain(|sha256| !arriving.contains_key(sha256));
        payloads
    }

    /// Makes an image ready to be kept with its job: its digest, and the bytes where the store is to take them.
    pub(super) async fn prepare(
        &self,
        payload: &Payload,
    ) -> Result<(Digest, Option<Bytes>, Arriving), CallError> {
        let sha256 = digest(payload).await?;
        let arriving = self.arrive(sha256);
        match self.place_for(payload.as_slice().len()) {
            None => Ok((sha256, Some(bytes_of(payload)), arriving)),
            Some(place) => {
                place.put(sha256, payload.clone()).await.map_err(not_kept)?;
                Ok((sha256, None, arriving))
            }
        }
    }

    /// Keeps bytes that are part of an outcome.
    pub(super) async fn put(
        &self,
        data: &Bytes,
        now: Time,
    ) -> Result<(Digest, Arriving), CallError> {
        let payload = Payload::Heap(data.clone());
        let sha256 = digest(&payload).await?;
        let arriving = self.arrive(sha256);
        match self.place_for(data.len()) {
            None => {
                let put = self.store.put_data(sha256, data.clone(), now).await;
                put.map_err(refused)?;
            }
            Some(place) => place.put(sha256, payload).await.map_err(not_kept)?,
        }
        Ok((sha256, arriving))
    }

    /// Bytes that were kept, wherever that was: the settings may have been others then.
    pub(super) async fn get(
        &self,
        sha256: Digest,
        bytes: u64,
    ) -> Result<Option<Payload>, CallError> {
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        let in_place = self.place_for(length).is_some();
        for elsewhere in [false, true] {
            let found = if in_place != elsewhere {
                self.place_bytes(sha256).await?
            } else {
                self.store_bytes(sha256).await?
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Where payloads lie that are not in the store itself.
    pub(super) fn place(&self) -> Option<&Arc<dyn PayloadStore>> {
        self.place.as_ref()
    }

    fn place_for(&self, bytes: usize) -> Option<&Arc<dyn PayloadStore>> {
        self.place.as_ref().filter(|_| bytes > SMALL)
    }

    async fn place_bytes(&self, sha256: Digest) -> Result<Option<Payload>, CallError> {
        match &self.place {
            Some(place) => place.get(sha256).await.map_err(not_kept),
            None => Ok(None),
        }
    }

    async fn store_bytes(&self, sha256: Digest) -> Result<Option<Payload>, CallError> {
        let data = self.store.data(sha256).await.map_err(refused)?;
        Ok(data.map(Payload::Heap))
    }
}

async fn digest(payload: &Payload) -> Result<Digest, CallError> {
    if payload.as_slice().len() < LONG {
        return Ok(digest_of(payload.as_slice()));
    }
    let payload = payload.clone();
    let made = tokio::task::spawn_blocking(move || digest_of(payload.as_slice()));
    made.await
        .map_err(|error| CallError::internal(error.to_string()))
}

/// The digest of several texts, each told from the next by its length.
pub(super) fn digest_of_all<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    Digest::new(hasher.finalize().into())
}

fn bytes_of(payload: &Payload) -> Bytes {
    match payload {
        Payload::Heap(bytes) => bytes.clone(),
        Payload::Slot(kept) => Bytes::copy_from_slice(kept.as_slice()),
    }
}
