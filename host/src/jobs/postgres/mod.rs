//! The store that many hosts share: a PostgreSQL database. Knows no plugin and runs nothing.
//!
//! Whoever changes several rows locks them in one order: pictures by their digest, then jobs by their idempotency
//! keys, or by their ids; what is only picked from many is passed over where somebody else holds it.

mod add;
mod claim;
mod connect;
mod data;
mod end;
mod failure;
mod group;
mod link;
mod look;
mod notices;
mod rows;
mod tables;
mod upkeep;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::add::Adding;
pub use self::connect::ConnectError;
use self::connect::Server;
use self::end::Ending;
use self::failure::{text, tried};
use self::group::{Group, Work};
use self::link::{Link, bounded};
use self::notices::NoticesTask;
use super::record::{Record, Status, StoredError, Time};
use super::store::{
    Added, CallbackEnd, Cancelled, Claim, End, Forget, HandBack, Held, HostSeen, JobStore, Listing,
    NewJob, Notice, Reclaim, Renewal, Reply, Retried,
};
use crate::names::{Digest, PluginName};

/// How many notices wait for a listener that is slow.
const NOTICES: usize = 1024;

/// How long what is under way has to come to its end.
const CLOSING: Duration = Duration::from_secs(60);

/// Jobs in a PostgreSQL database.
pub struct PostgresStore {
    link: Link,
    since: Time,
    adding: Group<Adding>,
    ending: Group<Ending>,
    heard: broadcast::Sender<Notice>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl PostgresStore {
    /// Connects, and makes the tables or brings them up to date. Many hosts may do so at once. `ca` is a file of
    /// certificates that are trusted besides the system's.
    ///
    /// # Errors
    /// When there is no such server, it does not let us in, or its tables are not ours.
    pub async fn connect(url: &str, ca: Option<&Path>) -> Result<Self, ConnectError> {
        let server = Server::new(url, ca)?;
        let pool = server.pool();
        let client = pool.get().await;
        let mut client = client.map_err(|error| ConnectError::Unreachable(text(&error)))?;
        let since = rows::moment(tables::bring_up(&mut client).await?);
        let since = since.ok_or_else(|| ConnectError::Tables("no time in `meta`".to_owned()))?;
        drop(client);
        let (sender, told) = mpsc::channel(notices::WAITING);
        let link = Link { pool, told: sender };
        Ok(Self::new(link, since, server, told))
    }

    fn new(link: Link, since: Time, server: Server, told: mpsc::Receiver<Notice>) -> Self {
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let (heard, _) = broadcast::channel(NOTICES);
        let notices = NoticesTask {
            server,
            told,
            heard: heard.clone(),
            closing: closing.clone(),
        };
        tasks.spawn(notices.run());
        Self {
            since,
            adding: grouped(Adding(link.clone()), &tasks, &closing),
            ending: grouped(Ending(link.clone()), &tasks, &closing),
            link,
            heard,
            tasks,
            closing,
        }
    }
}

fn grouped<W: Work>(work: W, tasks: &TaskTracker, closing: &CancellationToken) -> Group<W> {
    let (group, task) = Group::new(work, closing.clone());
    tasks.spawn(task.run());
    group
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// A step of the store, tried again where others were in its way, and never without an end.
macro_rules! reply {
    ($step:expr) => {
        Box::pin(async move { bounded(async { tried!($step) }).await })
    };
}

impl JobStore for PostgresStore {
    fn time(&self) -> Reply<'_, Time> {
        reply!(self.link.time())
    }

    fn since(&self) -> Time {
        self.since
    }

    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        Box::pin(self.adding.hand_in(jobs))
    }

    fn note(&self, ended: Vec<Record>) -> Reply<'_, ()> {
        reply!(self.link.note(&ended))
    }

    fn claim(&self, claim: Claim) -> Reply<'_, Vec<Record>> {
        reply!(self.link.claim(&claim))
    }

    fn renew(&self, renewals: Vec<Renewal>, until: Time) -> Reply<'_, Vec<Held>> {
        reply!(self.link.renew(&renewals, until))
    }

    fn finish(&self, end: End) -> Reply<'_, bool> {
        Box::pin(self.ending.hand_in(end))
    }

    fn hand_back(&self, back: HandBack) -> Reply<'_, bool> {
        reply!(self.link.hand_back(&back))
    }

    fn reclaim(&self, which: Reclaim, cancelled: StoredError, now: Time) -> Reply<'_, u64> {
        reply!(self.link.reclaim(which, &cancelled, now))
    }

    fn cancel(
        &self,
        id: Uuid,
        owner: Option<String>,
        error: StoredError,
        now: Time,
    ) -> Reply<'_, Cancelled> {
        reply!(self.link.cancel(id, owner.as_deref(), &error, now))
    }

    fn fail_pending(&self, id: Uuid, error: StoredError, now: Time) -> Reply<'_, bool> {
        reply!(self.link.fail_pending(id, &error, now))
    }

    fn retry(&self, id: Uuid, owner: Option<String>, now: Time) -> Reply<'_, Retried> {
        reply!(self.link.retry(id, owner.as_deref(), now))
    }

    fn get(&self, id: Uuid, owner: Option<String>) -> Reply<'_, Option<Record>> {
        reply!(self.link.get(id, owner.as_deref()))
    }

    fn list(&self, listing: Listing) -> Reply<'_, Vec<Record>> {
        reply!(self.link.list(&listing))
    }

    fn count(&self) -> Reply<'_, Vec<(Status, u64)>> {
        reply!(self.link.count())
    }

    fn waiting_without(
        &self,
        served: Vec<PluginName>,
        due_before: Time,
        most: u32,
    ) -> Reply<'_, Vec<Record>> {
        reply!(self.link.waiting_without(&served, due_before, most))
    }

    fn next_due(&self, plugins: Vec<PluginName>) -> Reply<'_, Option<Time>> {
        reply!(self.link.next_due(&plugins))
    }

    fn heartbeat(&self, host: HostSeen, alive_since: Time) -> Reply<'_, Vec<HostSeen>> {
        reply!(self.link.heartbeat(&host, alive_since))
    }

    fn due_callbacks(&self, now: Time, until: Time, most: u32) -> Reply<'_, Vec<Record>> {
        reply!(self.link.due_callbacks(now, until, most))
    }

    fn end_callback(&self, end: CallbackEnd) -> Reply<'_, ()> {
        reply!(self.link.end_callback(&end))
    }

    fn forget(&self, forget: Forget) -> Reply<'_, u64> {
        reply!(self.link.forget(forget))
    }

    fn unused(&self, payloads: Vec<Digest>) -> Reply<'_, Vec<Digest>> {
        reply!(self.link.unused(&payloads))
    }

    fn put_data(&self, sha256: Digest, data: Bytes, now: Time) -> Reply<'_, ()> {
        reply!(self.link.put_data(sha256, &data, now))
    }

    fn data(&self, sha256: Digest) -> Reply<'_, Option<Bytes>> {
        reply!(self.link.data(sha256))
    }

    fn forget_data(&self, before: Time) -> Reply<'_, u64> {
        Box::pin(async move {
            let mut removed = 0;
            loop {
                let step = bounded(async { tried!(self.link.forget_some_data(before)) });
                let (count, is_more) = step.await?;
                removed += count;
                if !is_more {
                    return Ok(removed);
                }
            }
        })
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.heard.subscribe()
    }

    /// Never: what the server has lost it says itself, and it may be well again the next moment.
    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(std::future::pending())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.closing.cancel();
            self.tasks.close();
            if tokio::time::timeout(CLOSING, self.tasks.wait())
                .await
                .is_err()
            {
                tracing::warn!("the job store is left with work under way");
            }
            self.link.pool.close();
        })
    }
}
