//! What every store of payloads keeps to, whichever it is.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bulkhead::call::{HeapPlace, Payload, Place as _};
use bulkhead::jobs::{PayloadError, PayloadStore, Time, digest_of};
use bulkhead::names::Digest;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all, ready};

const HOUR: Duration = Duration::from_secs(3600);

/// A store, and the files in which it keeps payloads in the end.
pub struct Subject {
    pub store: Arc<dyn PayloadStore>,
    pub file: Box<dyn Fn(Digest) -> PathBuf + Send + Sync>,
}

impl Subject {
    /// Has a payload look as if it was put two hours ago.
    pub fn age(&self, sha256: Digest) {
        let file = File::options().write(true).open((self.file)(sha256));
        let then = SystemTime::now() - 2 * HOUR;
        file.unwrap().set_modified(then).unwrap();
    }

    pub async fn put(&self, bytes: &[u8]) -> Digest {
        let payload = Payload::Heap(Bytes::copy_from_slice(bytes));
        self.store.put(digest_of(bytes), payload).await.unwrap();
        digest_of(bytes)
    }

    pub async fn get(&self, sha256: Digest) -> Option<Vec<u8>> {
        let found = self.store.get(sha256).await.unwrap();
        found.map(|payload| payload.as_slice().to_vec())
    }

    /// Sweeps what is older than an hour, but for what is needed. Gives what was asked about, and how many went.
    pub async fn sweep(&self, needed: &[Digest]) -> (Vec<Digest>, u64) {
        let asked = Mutex::new(Vec::new());
        let unused = |mut digests: Vec<Digest>| -> BoxFuture<'_, Vec<Digest>> {
            asked.lock().unwrap().extend(digests.iter().copied());
            digests.retain(|digest| !needed.contains(digest));
            Box::pin(ready(digests))
        };
        let removed = self.store.sweep(hour_ago(), &unused).await.unwrap();
        (sorted(asked.into_inner().unwrap()), removed)
    }
}

pub async fn check(it: &Subject) {
    bytes_are_kept_as_they_are(it).await;
    many_may_put_at_once(it).await;
    only_what_is_old_and_unused_goes(it).await;
    what_is_put_meanwhile_stays(it).await;
    what_is_damaged_is_told(it).await;
}

async fn bytes_are_kept_as_they_are(it: &Subject) {
    assert!(it.get(digest_of(b"never put")).await.is_none());
    for bytes in [Vec::new(), b"few".to_vec(), vec![7; 5 << 20]] {
        let sha256 = it.put(&bytes).await;
        assert!(it.get(sha256).await.unwrap() == bytes);
    }
    let mut place = Box::new(HeapPlace::new(16));
    place.bytes_mut()[..6].copy_from_slice(b"placed");
    let payload = Payload::Slot(place.keep(6));
    let sha256 = digest_of(b"placed");
    it.store.put(sha256, payload).await.unwrap();
    assert_eq!(it.get(sha256).await.unwrap(), b"placed");
}

async fn many_may_put_at_once(it: &Subject) {
    let bytes = |number: usize| format!("number {}", number / 4).into_bytes();
    let puts = (0..64).map(async |number| it.put(&bytes(number)).await);
    for (number, sha256) in join_all(puts).await.into_iter().enumerate() {
        assert_eq!(it.get(sha256).await.unwrap(), bytes(number));
    }
}

async fn only_what_is_old_and_unused_goes(it: &Subject) {
    assert_eq!(it.sweep(&[]).await, (Vec::new(), 0), "nothing is old");
    let (needed, unused, anew) = (
        it.put(b"needed").await,
        it.put(b"unused").await,
        it.put(b"anew").await,
    );
    [needed, unused, anew].map(|sha256| it.age(sha256));
    it.put(b"anew").await;
    assert_eq!(it.sweep(&[needed]).await, (sorted(vec![needed, unused]), 1));
    assert!(it.get(unused).await.is_none());
    assert_eq!(it.get(needed).await.unwrap(), b"needed");
    assert_eq!(it.get(anew).await.unwrap(), b"anew");
    assert_eq!(it.sweep(&[]).await, (vec![needed], 1));
    it.put(b"unused").await;
    assert_eq!(it.get(unused).await.unwrap(), b"unused");
}

/// Put between the question whether anybody needs it and its removal.
async fn what_is_put_meanwhile_stays(it: &Subject) {
    let sha256 = it.put(b"meanwhile").await;
    it.age(sha256);
    let unused = |digests: Vec<Digest>| -> BoxFuture<'_, Vec<Digest>> {
        Box::pin(async move {
            assert_eq!(digests, [sha256]);
            it.put(b"meanwhile").await;
            digests
        })
    };
    assert_eq!(it.store.sweep(hour_ago(), &unused).await.unwrap(), 0);
    assert_eq!(it.get(sha256).await.unwrap(), b"meanwhile");
}

async fn what_is_damaged_is_told(it: &Subject) {
    let sha256 = it.put(b"damaged").await;
    fs::write((it.file)(sha256), b"Damaged").unwrap();
    let error = it.store.get(sha256).await.unwrap_err();
    let PayloadError::Damaged {
        sha256: kept,
        found,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((kept, found), (sha256, digest_of(b"Damaged")));
    it.put(b"damaged").await;
    assert_eq!(it.get(sha256).await.unwrap(), b"damaged");
}

fn hour_ago() -> Time {
    (SystemTime::now() - HOUR).into()
}

pub fn sorted(mut digests: Vec<Digest>) -> Vec<Digest> {
    digests.sort_by_key(|digest| *digest.bytes());
    digests
}
