//! Payloads as files, `<folder>/ab/<sha256>`. Owns that nothing here holds up the tasks that wait for it; how a
//! file comes and goes safely stands in `folder`.

mod durable;
mod entry;
mod folder;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use self::folder::Folder;
use super::{PayloadError, PayloadStore, digest_of};
use crate::call::Payload;
use crate::jobs::Time;
use crate::names::Digest;

/// How many files are worked on at a time: enough for the disk to bring many to rest at once, and few enough to
/// leave other work its threads.
const AT_ONCE: usize = 64;

/// How many digests are asked for at a time.
const MOST_ASKED: usize = 1000;

/// Keeps payloads as files in a folder, which several hosts may share.
pub struct FilePayloads {
    folder: Arc<Folder>,
    turns: Arc<Semaphore>,
}

impl FilePayloads {
    /// Payloads in this folder, which is made if need be.
    ///
    /// # Errors
    /// When it can neither be made nor read.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let folder = Arc::new(Folder::open(folder)?);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { folder, turns })
    }

    /// Has the folder do something on a thread that may block. What has begun is done, whether or not somebody
    /// still waits for it.
    async fn work<T, F>(&self, task: F) -> Result<T, PayloadError>
    where
        T: Send + 'static,
        F: FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("nobody closes it");
        let folder = Arc::clone(&self.folder);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            task(&folder)
        });
        let done = done.await.map_err(io::Error::other).flatten();
        done.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &io::Error) -> PayloadError {
        let text = format!("{}: {error}", self.folder.path().display());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PayloadError::Full(text),
            _ => PayloadError::Other(text),
        }
    }

    async fn read(&self, sha256: Digest) -> Result<Option<Payload>, PayloadError> {
        let read = move |folder: &Folder| {
            let bytes = folder.read(sha256)?;
            Ok(bytes.map(|bytes| (digest_of(&bytes), bytes)))
        };
        match self.work(read).await? {
            None => Ok(None),
            Some((found, bytes)) if found == sha256 => Ok(Some(Payload::Heap(Bytes::from(bytes)))),
            Some((found, _)) => Err(PayloadError::Damaged { sha256, found }),
        }
    }

    /// Removes those that nobody has put since, though they were asked about meanwhile.
    async fn remove(&self, unused: Vec<Digest>, before: Time) -> Result<u64, PayloadError> {
        let remove = move |folder: &Folder| {
            let mut removed = 0;
            for sha256 in unused {
                removed += u64::from(folder.remove(sha256, before.into())?);
            }
            Ok(removed)
        };
        self.work(remove).await
    }
}

impl PayloadStore for FilePayloads {
    fn put(&self, sha256: Digest, data: Payload) -> BoxFuture<'_, Result<(), PayloadError>> {
        Box::pin(self.work(move |folder| folder.put(sha256, data.as_slice())))
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
            let mut removed = 0;
            let mut old = Vec::new();
            for shard in 0..=u8::MAX {
                let more = self.work(move |folder| folder.old(shard, before.into()));
                old.extend(more.await?);
                while old.len() >= MOST_ASKED || (shard == u8::MAX && !old.is_empty()) {
                    let rest = old.split_off(old.len().min(MOST_ASKED));
                    let asked = std::mem::replace(&mut old, rest);
                    removed += self.remove(unused(asked).await, before).await?;
                }
            }
            Ok(removed)
        })
    }
}
