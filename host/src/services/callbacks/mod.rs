//! Tells whoever wants to know of the ends of jobs ("webhooks"): to hosts that the operator names, at public
//! addresses, signed. What is to be told is in the store, so that an end is told though this host dies meanwhile.
//! Knows no plugin, and never delays a job.

mod addresses;
mod allow;
mod deliver;
mod message;
mod note;
mod task;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use allow::check;

use crate::config::Config;
use crate::jobs::SharedStore;
use task::CallbackTask;

/// The way to the task that tells of the ends of jobs.
#[derive(Clone, Debug)]
pub struct Callbacks {
    wake: Arc<Notify>,
}

impl Callbacks {
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
    let task = CallbackTask::new(store, settings, Arc::clone(&wake));
    tasks.spawn(async move {
        tokio::select! {
            () = task.run() => {}
            () = stop.cancelled() => {}
        }
    });
    Callbacks { wake }
}

#[cfg(test)]
mod tests;
