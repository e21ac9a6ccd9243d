//! What a case works with: the store under test, a second handle on its data, a clock that stands still until it is
//! told to go. Knows no case.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use bulkhead::jobs::{
    Added, End, HandBack, Lease, Listing, NewJob, Record, SharedStore, Status, StoreError, Time,
};
use chrono::{DateTime, TimeDelta};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::made;

/// Where jobs are kept: can be opened again after it was closed.
pub trait Place: Send + Sync {
    /// Opens it.
    fn open(&self) -> BoxFuture<'_, Handles>;
}

/// An open store.
#[derive(Clone)]
pub struct Handles {
    /// The one that is used where one is enough.
    pub store: SharedStore,
    /// That of another host on the same data; the same handle where there can be no other host.
    pub other: SharedStore,
}

impl Handles {
    /// Those of a store that no other host can share.
    pub fn of_one(store: SharedStore) -> Self {
        Self {
            other: store.clone(),
            store,
        }
    }
}

/// A store under test.
pub struct Bench {
    place: Box<dyn Place>,
    handles: Mutex<Handles>,
    now: AtomicI64,
}

impl Bench {
    /// Opens what is at a place. The clock starts at the store's time.
    ///
    /// # Panics
    /// When the store does not say what time it is.
    pub async fn new(place: impl Place + 'static) -> Self {
        let handles = place.open().await;
        // Long ago: a store that finds itself in the future when it is opened again does something about it.
        let now = handles.store.time().await.unwrap() - TimeDelta::days(365);
        Self {
            place: Box::new(place),
            handles: Mutex::new(handles),
            now: AtomicI64::new(now.timestamp_millis()),
        }
    }

    /// The store.
    ///
    /// # Panics
    /// Never.
    pub fn store(&self) -> SharedStore {
        self.handles.lock().unwrap().store.clone()
    }

    /// The store as another host sees it.
    ///
    /// # Panics
    /// Never.
    pub fn other(&self) -> SharedStore {
        self.handles.lock().unwrap().other.clone()
    }

    /// Closes the store and opens it again.
    ///
    /// # Panics
    /// Never.
    pub async fn reopen(&self) {
        self.close().await;
        let handles = self.place.open().await;
        *self.handles.lock().unwrap() = handles;
    }

    /// Closes the store.
    pub async fn close(&self) {
        self.store().close().await;
        self.other().close().await;
    }

    /// What time it is, by the clock of the case.
    ///
    /// # Panics
    /// Never.
    pub fn now(&self) -> Time {
        DateTime::from_timestamp_millis(self.now.load(Ordering::SeqCst)).unwrap()
    }

    /// Lets time pass, or go back; gives what time it then is.
    pub fn pass(&self, span: TimeDelta) -> Time {
        self.now
            .fetch_add(span.num_milliseconds(), Ordering::SeqCst);
        self.now()
    }

    /// A job that is due now.
    pub fn job(&self, plugin: &str) -> NewJob {
        made::job(plugin, self.now())
    }

    /// Adds one job that is new.
    ///
    /// # Panics
    /// When it is not.
    pub async fn add(&self, job: NewJob) -> Uuid {
        let id = job.id;
        self.add_all(vec![job]).await;
        id
    }

    /// Adds jobs that are new.
    ///
    /// # Panics
    /// When one is not.
    pub async fn add_all(&self, jobs: Vec<NewJob>) {
        let count = jobs.len();
        let added = self.store().add(jobs).await.unwrap();
        assert_eq!(added.len(), count);
        assert!(
            added.iter().all(|added| matches!(added, Added::New)),
            "{added:?}"
        );
    }

    /// A job as it stands.
    ///
    /// # Panics
    /// When there is none.
    pub async fn get(&self, id: Uuid) -> Record {
        let found = self.store().get(id, None).await.unwrap();
        found.unwrap_or_else(|| panic!("no job {id}"))
    }

    /// Has `HOST` claim up to `most` jobs of one plugin, for 30 s.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn claim(&self, plugin: &str, most: u32) -> Vec<Record> {
        let wish = made::wish(&[(plugin, most)], self.now());
        self.store().claim(wish).await.unwrap()
    }

    /// Claims the one job of a plugin that is due.
    ///
    /// # Panics
    /// When there is none, or another besides.
    pub async fn claim_one(&self, plugin: &str) -> Record {
        let mut claimed = self.claim(plugin, 2).await;
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        claimed.remove(0)
    }

    /// A new job that `HOST` runs, for 30 s.
    pub async fn running(&self, mut job: NewJob) -> Record {
        job.claim = Some((made::HOST, self.now() + TimeDelta::seconds(30)));
        let id = self.add(job).await;
        self.get(id).await
    }

    /// Ends a job, if its lease counts.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn finish(&self, end: End) -> bool {
        self.store().finish(end).await.unwrap()
    }

    /// Ends a job now, with success.
    ///
    /// # Panics
    /// When its lease counts no more.
    pub async fn succeed(&self, lease: Lease) -> Record {
        assert!(self.finish(made::success(lease, self.now())).await);
        self.get(lease.job).await
    }

    /// Ends a job now, with an error.
    ///
    /// # Panics
    /// When its lease counts no more.
    pub async fn fail(&self, lease: Lease) -> Record {
        assert!(self.finish(made::failure(lease, self.now())).await);
        self.get(lease.job).await
    }

    /// Hands a job back, if its lease counts.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn hand_back(&self, back: HandBack) -> bool {
        self.store().hand_back(back).await.unwrap()
    }

    /// Asks that a job end.
    ///
    /// # Panics
    /// When there is none.
    pub async fn cancel(&self, id: Uuid) -> bulkhead::jobs::Cancelled {
        let error = made::error("cancelled");
        let asked = self.store().cancel(id, None, error, self.now()).await;
        asked.unwrap()
    }

    /// A new job that has ended: with success, with an error, or cancelled before it ran.
    ///
    /// # Panics
    /// For a status that is not final.
    pub async fn ended(&self, job: NewJob, status: Status) -> Record {
        match status {
            Status::Success => self.succeed(self.running(job).await.lease()).await,
            Status::Failed => self.fail(self.running(job).await.lease()).await,
            Status::Cancelled => {
                let id = self.add(job).await;
                self.cancel(id).await;
                self.get(id).await
            }
            Status::Pending | Status::Running => panic!("{status:?} is not final"),
        }
    }

    /// All jobs that a listing gives, page by page.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn list(&self, mut listing: Listing) -> Result<Vec<Record>, StoreError> {
        let mut all = Vec::new();
        loop {
            let page = self.store().list(listing.clone()).await?;
            assert!(page.len() <= listing.limit as usize, "a page has its limit");
            let Some(last) = page.last() else {
                return Ok(all);
            };
            listing.before = Some(last.id);
            all.extend(page);
        }
    }

    /// All jobs that there are, without results.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn all(&self) -> Vec<Record> {
        let listing = Listing {
            limit: 500,
            ..Listing::default()
        };
        self.list(listing).await.unwrap()
    }
}
