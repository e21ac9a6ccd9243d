//! Tells whoever wants to know of the ends of jobs ("webhooks"): to hosts that the operator names, at public
//! addresses, signed. What is to be told is in the store, so that an end is told though this host dies meanwhile.
//! Knows no plugin, and never delays a job.

mod addresses;
mod allow;
mod deliver;
mod message;
mod note;
mod tally;
mod task;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use allow::check;
pub use tally::CallbackCounts;

use crate::config::Config;
use crate::jobs::SharedStore;
use tally::Tally;
use task::CallbackTask;

/// The way to the task that tells of the ends of jobs.
#[derive(Clone, Debug)]
pub struct Callbacks {
    wake: Arc<Notify>,
    tally: Arc<Tally>,
}

impl Callbacks {
    /// What became of the tries of this host.
    pub fn counts(&self) -> CallbackCounts {
        self.tally.counts()
    }

    /// Has it look for something to tell now: a job has ended. It looks by itself too, a little later.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Tells of the ends of jobs until `stop`. What is under way then is let go: it is told again, by whichever host
/// comes next.
pub fn start(
    store: SharedStore,
    settings: Arc<ArcSwap<Config>>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Callbacks {
    let wake = Arc::new(Notify::new());
    let tally = Arc::<Tally>::default();
    let task = CallbackTask::new(store, settings, Arc::clone(&wake), Arc::clone(&tally));
    tasks.spawn(async move {
        tokio::select! {
            () = task.run() => {}
            () = stop.cancelled() => {}
        }
    });
    Callbacks { wake, tally }
}

#[cfg(test)]
mod tests;
