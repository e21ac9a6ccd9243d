//! Keeps jobs in a file of SQLite, for one host. All changes go through one thread, which commits at once what has
//! come meanwhile, with one fsync; looks go beside it. Knows no service.

mod add;
mod beside;
mod clock;
mod command;
mod end;
mod forget;
mod look;
mod migrations;
mod open;
mod reader;
mod rows;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod threads;
mod verdict;
mod wal;
mod writer;

use std::path::Path;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::broadcast;
use uuid::Uuid;

use self::clock::Clock;
use self::command::Step;
use self::threads::Threads;
use super::record::{Record, Status, StoredError, Time};
use super::store::{
    Added, CallbackEnd, Cancelled, Claim, End, Forget, HandBack, Held, HostSeen, JobStore, Listing,
    NewJob, Notice, Reclaim, Renewal, Reply, Retried,
};
use crate::names::{Digest, PluginName};
pub use open::SqliteError;

/// So many looks may take long at once without delaying others.
const READERS: usize = 2;
/// So many payloads are removed in one step: more would hold up commits.
const FORGOTTEN_AT_ONCE: usize = 64;

/// Jobs in a file, `jobs.db`.
pub struct SqliteStore {
    threads: Threads,
    clock: Clock,
    since: Time,
    // Nobody else works on the file: nothing is ever sent.
    notices: broadcast::Sender<Notice>,
}

impl SqliteStore {
    /// Opens the store in a folder, or makes it. Blocks, mostly shortly.
    ///
    /// # Errors
    /// [`SqliteError`], also where the file is damaged: then nothing is changed.
    pub fn open(folder: &Path) -> Result<Self, SqliteError> {
        let opened = open::open(folder, READERS)?;
        let since = opened.since;
        let threads = Threads::start(folder, opened).map_err(|error| SqliteError::Io {
            file: folder.join("jobs.db").display().to_string(),
            error,
        })?;
        Ok(Self {
            threads,
            clock: Clock::set(),
            since,
            notices: broadcast::Sender::new(1),
        })
    }

    /// How many transactions it has committed: fewer than there were changes where many came at once.
    pub fn commits(&self) -> u64 {
        self.threads.commits()
    }
}

impl JobStore for SqliteStore {
    fn time(&self) -> Reply<'_, Time> {
        Box::pin(async { Ok(self.clock.time()) })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn since(&self) -> Time {
        self.since
    }

    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        Box::pin(
            self.threads
                .write(Step::Add, move |session| add::add(session, &jobs)),
        )
    }

    fn note(&self, ended: Vec<Record>) -> Reply<'_, ()> {
        let work = move |session: &session::Session<'_>| add::note(session, &ended);
        Box::pin(self.threads.write(Step::Other, work))
    }

    fn claim(&self, claim: Claim) -> Reply<'_, Vec<Record>> {
        Box::pin(
            self.threads
                .write(Step::Claim, move |session| run::claim(session, &claim)),
        )
    }

    fn renew(&self, renewals: Vec<Renewal>, until: Time) -> Reply<'_, Vec<Held>> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            run::renew(session, &renewals, until)
        }))
    }

    fn finish(&self, end: End) -> Reply<'_, bool> {
        Box::pin(
            self.threads
                .write(Step::Finish, move |session| run::finish(session, &end)),
        )
    }

    fn hand_back(&self, back: HandBack) -> Reply<'_, bool> {
        Box::pin(
            self.threads
                .write(Step::Other, move |session| run::hand_back(session, &back)),
        )
    }

    fn reclaim(&self, which: Reclaim, cancelled: StoredError, now: Time) -> Reply<'_, u64> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            run::reclaim(session, which, &cancelled, now)
        }))
    }

    fn cancel(
        &self,
        id: Uuid,
        owner: Option<String>,
        error: StoredError,
        now: Time,
    ) -> Reply<'_, Cancelled> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            end::cancel(session, id, owner.as_deref(), &error, now)
        }))
    }

    fn fail_pending(&self, id: Uuid, error: StoredError, now: Time) -> Reply<'_, bool> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            end::fail_pending(session, id, &error, now)
        }))
    }

    fn retry(&self, id: Uuid, owner: Option<String>, now: Time) -> Reply<'_, Retried> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            end::retry(session, id, owner.as_deref(), now)
        }))
    }

    fn get(&self, id: Uuid, owner: Option<String>) -> Reply<'_, Option<Record>> {
        let work = move |session: &session::Session<'_>| end::get(session, id, owner.as_deref());
        Box::pin(self.threads.read(work))
    }

    fn list(&self, listing: Listing) -> Reply<'_, Vec<Record>> {
        Box::pin(
            self.threads
                .read(move |session| look::list(session, &listing)),
        )
    }

    fn count(&self) -> Reply<'_, Vec<(Status, u64)>> {
        Box::pin(self.threads.read(look::count))
    }

    fn waiting_without(
        &self,
        served: Vec<PluginName>,
        due_before: Time,
        most: u32,
    ) -> Reply<'_, Vec<Record>> {
        Box::pin(
            self.threads
                .read(move |session| look::waiting_without(session, &served, due_before, most)),
        )
    }

    fn next_due(&self, plugins: Vec<PluginName>) -> Reply<'_, Option<Time>> {
        Box::pin(
            self.threads
                .read(move |session| look::next_due(session, &plugins)),
        )
    }

    fn heartbeat(&self, host: HostSeen, alive_since: Time) -> Reply<'_, Vec<HostSeen>> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            beside::heartbeat(session, &host, alive_since)
        }))
    }

    fn due_callbacks(&self, now: Time, until: Time, most: u32) -> Reply<'_, Vec<Record>> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            beside::due_callbacks(session, now, until, most)
        }))
    }

    fn end_callback(&self, end: CallbackEnd) -> Reply<'_, ()> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            beside::end_callback(session, &end)
        }))
    }

    fn forget(&self, forget: Forget) -> Reply<'_, u64> {
        Box::pin(
            self.threads
                .write(Step::Other, move |session| forget::forget(session, forget)),
        )
    }

    fn unused(&self, payloads: Vec<Digest>) -> Reply<'_, Vec<Digest>> {
        Box::pin(
            self.threads
                .read(move |session| look::unused(session, &payloads)),
        )
    }

    fn put_data(&self, sha256: Digest, data: Bytes, now: Time) -> Reply<'_, ()> {
        Box::pin(self.threads.write(Step::Other, move |session| {
            beside::put_data(session, sha256, &data, now)
        }))
    }

    fn data(&self, sha256: Digest) -> Reply<'_, Option<Bytes>> {
        Box::pin(async move {
            let data = self
                .threads
                .read(move |session| beside::data(session, sha256));
            Ok(data.await?.map(Bytes::from))
        })
    }

    fn forget_data(&self, before: Time) -> Reply<'_, u64> {
        Box::pin(async move {
            let found = self
                .threads
                .read(move |session| forget::unused_data(session, before));
            let mut forgotten = 0;
            for some in found.await?.chunks(FORGOTTEN_AT_ONCE) {
                let some = some.to_vec();
                forgotten += self
                    .threads
                    .write(Step::Other, move |session| {
                        forget::forget_data(session, &some, before)
                    })
                    .await?;
            }
            Ok(forgotten)
        })
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(self.threads.failed())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.threads.close())
    }
}
