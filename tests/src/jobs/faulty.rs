//! A store that does one thing wrongly: shows that the cases can fail. Knows the trait alone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bulkhead::jobs::{
    Added, CallbackEnd, Cancelled, Claim, End, Forget, HandBack, Held, HostSeen, JobStore, Lease,
    Listing, NewJob, Notice, Reclaim, Record, Renewal, Reply, Retried, SharedStore, Status,
    StoreError, StoredError, Time,
};
use bulkhead::names::{Digest, PluginName};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::broadcast;
use uuid::Uuid;

/// What a store does wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing.
    Sound,
    /// Gives a job that somebody else has claimed already.
    ClaimsTwice,
    /// Claims under the fence that there was before.
    KeepsFence,
    /// Has an end count under any lease of a job that runs.
    IgnoresFence,
    /// Adds a job whose key is known.
    IgnoresKeys,
    /// Lists the jobs of all owners.
    IgnoresOwner,
    /// Takes the attempt back with the lease.
    ForgetsAttempt,
    /// Removes jobs whose end is still to be told.
    ForgetsCallbacks,
    /// Keeps what was added last in memory alone.
    LosesTheLast,
}

/// A store with a fault.
pub struct Faulty {
    store: SharedStore,
    mutant: Mutant,
    claimed: Mutex<Vec<Record>>,
    reclaimed: Mutex<BTreeMap<Uuid, u32>>,
}

impl Faulty {
    /// A fault in front of a store that has none.
    pub fn new(store: SharedStore, mutant: Mutant) -> Self {
        Self {
            store,
            mutant,
            claimed: Mutex::default(),
            reclaimed: Mutex::default(),
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }

    /// A record as the fault shows it.
    fn seen(&self, mut record: Record) -> Record {
        let reclaimed = self.reclaimed.lock().unwrap();
        record.attempt -= reclaimed.get(&record.id).copied().unwrap_or_default();
        if self.is(Mutant::KeepsFence) && record.fence > 1 {
            record.fence = 1;
        }
        record
    }

    /// The lease that the store wants to see.
    async fn current(&self, lease: Lease) -> Result<Lease, StoreError> {
        if !self.is(Mutant::IgnoresFence) && !self.is(Mutant::KeepsFence) {
            return Ok(lease);
        }
        let found = self.store.get(lease.job, None).await?;
        Ok(found.map_or(lease, |record| record.lease()))
    }

    async fn all(&self, status: Option<Status>) -> Result<Vec<Record>, StoreError> {
        let listing = Listing {
            status,
            limit: 1000,
            ..Listing::default()
        };
        self.store.list(listing).await
    }

    /// Gives the first claim's jobs to the second as well.
    fn claims_again(&self, fresh: Vec<Record>) -> Vec<Record> {
        let mut claimed = self.claimed.lock().unwrap();
        let given = std::mem::replace(&mut *claimed, fresh.clone());
        if fresh.is_empty() { given } else { fresh }
    }
}

impl JobStore for Faulty {
    fn time(&self) -> Reply<'_, Time> {
        self.store.time()
    }

    fn since(&self) -> Time {
        self.store.since()
    }

    fn add(&self, mut jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        if self.is(Mutant::IgnoresKeys) {
            jobs.iter_mut().for_each(|job| job.idempotency = None);
        }
        if !self.is(Mutant::LosesTheLast) {
            return self.store.add(jobs);
        }
        Box::pin(async move {
            let count = jobs.len();
            jobs.truncate(count.saturating_sub(1).max(1));
            let mut added = self.store.add(jobs).await?;
            added.resize(count, Added::New);
            Ok(added)
        })
    }

    fn note(&self, ended: Vec<Record>) -> Reply<'_, ()> {
        self.store.note(ended)
    }

    fn claim(&self, claim: Claim) -> Reply<'_, Vec<Record>> {
        Box::pin(async move {
            let mut claimed = self.store.claim(claim).await?;
            if self.is(Mutant::ClaimsTwice) {
                claimed = self.claims_again(claimed);
            }
            Ok(claimed.into_iter().map(|job| self.seen(job)).collect())
        })
    }

    fn renew(&self, renewals: Vec<Renewal>, until: Time) -> Reply<'_, Vec<Held>> {
        self.store.renew(renewals, until)
    }

    fn finish(&self, mut end: End) -> Reply<'_, bool> {
        Box::pin(async move {
            end.lease = self.current(end.lease).await?;
            self.store.finish(end).await
        })
    }

    fn hand_back(&self, mut back: HandBack) -> Reply<'_, bool> {
        Box::pin(async move {
            // Not the fault that is looked for: a fault in the end alone must be found too.
            if self.is(Mutant::KeepsFence) {
                back.lease = self.current(back.lease).await?;
            }
            self.store.hand_back(back).await
        })
    }

    fn reclaim(&self, which: Reclaim, cancelled: StoredError, now: Time) -> Reply<'_, u64> {
        Box::pin(async move {
            let running = self.all(Some(Status::Running)).await?;
            let count = self.store.reclaim(which, cancelled, now).await?;
            if self.is(Mutant::ForgetsAttempt) {
                for job in running {
                    let found = self.store.get(job.id, None).await?;
                    if found.is_some_and(|found| found.status == Status::Pending) {
                        *self.reclaimed.lock().unwrap().entry(job.id).or_default() += 1;
                    }
                }
            }
            Ok(count)
        })
    }

    fn cancel(
        &self,
        id: Uuid,
        owner: Option<String>,
        error: StoredError,
        now: Time,
    ) -> Reply<'_, Cancelled> {
        self.store.cancel(id, owner, error, now)
    }

    fn fail_pending(&self, id: Uuid, error: StoredError, now: Time) -> Reply<'_, bool> {
        self.store.fail_pending(id, error, now)
    }

    fn retry(&self, id: Uuid, owner: Option<String>, now: Time) -> Reply<'_, Retried> {
        self.store.retry(id, owner, now)
    }

    fn get(&self, id: Uuid, owner: Option<String>) -> Reply<'_, Option<Record>> {
        Box::pin(async move {
            let found = self.store.get(id, owner).await?;
            Ok(found.map(|record| self.seen(record)))
        })
    }

    fn list(&self, mut listing: Listing) -> Reply<'_, Vec<Record>> {
        if self.is(Mutant::IgnoresOwner) {
            listing.owner = None;
        }
        self.store.list(listing)
    }

    fn count(&self) -> Reply<'_, Vec<(Status, u64)>> {
        self.store.count()
    }

    fn waiting_without(
        &self,
        served: Vec<PluginName>,
        due_before: Time,
        most: u32,
    ) -> Reply<'_, Vec<Record>> {
        self.store.waiting_without(served, due_before, most)
    }

    fn next_due(&self, plugins: Vec<PluginName>) -> Reply<'_, Option<Time>> {
        self.store.next_due(plugins)
    }

    fn heartbeat(&self, host: HostSeen, alive_since: Time) -> Reply<'_, Vec<HostSeen>> {
        self.store.heartbeat(host, alive_since)
    }

    fn due_callbacks(&self, now: Time, until: Time, most: u32) -> Reply<'_, Vec<Record>> {
        self.store.due_callbacks(now, until, most)
    }

    fn end_callback(&self, end: CallbackEnd) -> Reply<'_, ()> {
        self.store.end_callback(end)
    }

    fn forget(&self, forget: Forget) -> Reply<'_, u64> {
        Box::pin(async move {
            if self.is(Mutant::ForgetsCallbacks) {
                for job in self.all(None).await? {
                    let told = CallbackEnd {
                        job: job.id,
                        delivered_at: None,
                        due: None,
                        error: None,
                    };
                    self.store.end_callback(told).await?;
                }
            }
            self.store.forget(forget).await
        })
    }

    fn unused(&self, payloads: Vec<Digest>) -> Reply<'_, Vec<Digest>> {
        self.store.unused(payloads)
    }

    fn put_data(&self, sha256: Digest, data: Bytes, now: Time) -> Reply<'_, ()> {
        self.store.put_data(sha256, data, now)
    }

    fn data(&self, sha256: Digest) -> Reply<'_, Option<Bytes>> {
        self.store.data(sha256)
    }

    fn forget_data(&self, before: Time) -> Reply<'_, u64> {
        self.store.forget_data(before)
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.store.notices()
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        self.store.failed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.store.close()
    }
}
