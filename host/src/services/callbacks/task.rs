//! Claims what is to be told, has it told on threads that may wait, and notes what came of it. Knows no network.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::Utc;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::deliver::{Told, deliver};
use super::message::Message;
use super::note;
use super::tally::Tally;
use crate::config::{Callbacks, Config};
use crate::jobs::{CallbackEnd, JobStore, Record, SharedStore, StoreError};
use crate::names::PluginName;

/// How many are told at a time.
const AT_A_TIME: usize = 16;
/// How often it looks for something to tell though nobody says that there is.
const EVERY: Duration = Duration::from_secs(1);
/// How much longer than a try a claim on it counts.
const MARGIN: Duration = Duration::from_secs(30);
/// How long it waits at most for a store that does not answer.
const LONGEST: Duration = Duration::from_secs(30);

/// Tells of the ends of jobs.
pub(super) struct CallbackTask {
    store: SharedStore,
    settings: Arc<ArcSwap<Config>>,
    wake: Arc<Notify>,
    tally: Arc<Tally>,
    /// Those who are being told; dropped with the task.
    under_way: JoinSet<()>,
    /// How often in a row the store has failed.
    failures: u32,
}

impl CallbackTask {
    pub(super) fn new(
        store: SharedStore,
        settings: Arc<ArcSwap<Config>>,
        wake: Arc<Notify>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            store,
            settings,
            wake,
            tally,
            under_way: JoinSet::new(),
            failures: 0,
        }
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        loop {
            while self.under_way.try_join_next().is_some() {}
            let room = AT_A_TIME.saturating_sub(self.under_way.len());
            if room == 0 {
                self.under_way.join_next().await;
                continue;
            }
            match self.claim(room).await {
                Ok(0) => self.rest().await,
                Ok(_) => self.mended(),
                Err(error) => self.failed(&error).await,
            }
        }
    }

    /// Begins to tell what is due, at most `room`; gives how many that are.
    async fn claim(&mut self, room: usize) -> Result<usize, StoreError> {
        let settings = self.settings.load().jobs.callbacks.clone();
        let claim = settings.timeout.duration() + MARGIN;
        let over = Instant::now() + claim;
        let now = self.store.time().await?;
        let most = u32::try_from(room).unwrap_or(u32::MAX);
        let due = self.store.due_callbacks(now, now + claim, most).await?;
        let count = due.len();
        for record in due {
            let (store, settings) = (Arc::clone(&self.store), settings.clone());
            let tally = Arc::clone(&self.tally);
            self.under_way
                .spawn(tell(store, record, settings, over, tally));
        }
        Ok(count)
    }

    /// Until there may be something to tell.
    async fn rest(&mut self) {
        self.mended();
        tokio::select! {
            () = self.wake.notified() => {}
            () = sleep(EVERY) => {}
        }
    }

    fn mended(&mut self) {
        if self.failures > 0 {
            info!("callbacks are told again: the job store answers");
        }
        self.failures = 0;
    }

    /// One warning, however long it lasts.
    async fn failed(&mut self, error: &StoreError) {
        if self.failures == 0 {
            warn!(%error, "no callbacks are told until the job store answers");
        }
        self.failures = self.failures.saturating_add(1);
        sleep(backoff(self.failures)).await;
    }
}

/// Tells one, and notes what came of it.
async fn tell(
    store: SharedStore,
    record: Record,
    settings: Callbacks,
    over: Instant,
    tally: Arc<Tally>,
) {
    let Some(callback) = record.callback.as_ref() else {
        return;
    };
    let (job, attempt, url) = (record.id, callback.attempts, callback.url.clone());
    let attempts = settings.attempts;
    let named = (record.request_id.clone(), record.plugin.clone());
    let told = spawn_blocking(move || {
        let second = Utc::now().timestamp();
        deliver(&Message::of(&record), &url, &settings, second)
    });
    let told = told
        .await
        .unwrap_or_else(|_| Told::Failed("the try broke off".to_owned()));
    // The clock that claims are made by.
    let now = match store.time().await {
        Ok(now) => now,
        Err(_) => Utc::now(),
    };
    let end = note::end(job, told, attempt, attempts, now);
    note::tell(&end, &named, attempt);
    tally.count(&end);
    keep(&*store, end, &named, over).await;
}

/// Notes it as long as the claim counts; after that the place is told once more, and can tell by the message's id.
async fn keep(
    store: &dyn JobStore,
    end: CallbackEnd,
    (request, plugin): &(String, PluginName),
    over: Instant,
) {
    let mut failures = 0;
    while let Err(error) = store.end_callback(end.clone()).await {
        failures += 1;
        let pause = backoff(failures);
        if Instant::now() + pause >= over {
            let plugin = plugin.as_str();
            warn!(request, job = %end.job, plugin, %error, "what came of a callback could not be noted");
            return;
        }
        sleep(pause).await;
    }
}

/// A second, doubled with each failure in a row.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    Duration::from_secs(1 << doublings).min(LONGEST)
}
