//! A build on its way: opened, warmed, and let in when there is room for what it replaces to drain.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::wish::Wish;
use crate::call::Exhausted;
use crate::names::Digest;
use crate::registry::{Generation, Plugin};

/// How many generations of a plugin may drain before the next one is to.
const MOST_DRAINING: usize = 2;
/// How much longer than its deadline a call of theirs may be waited for.
const SLACK: Duration = Duration::from_secs(5);

/// A build that is to serve.
pub(super) struct Candidate {
    pub(super) generation: Arc<Generation>,
    pub(super) wish: Wish,
    pub(super) purpose: Purpose,
    work: BoxFuture<'static, Result<(), Exhausted>>,
}

/// Why it is to serve.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// The folder holds it.
    Wish,
    /// It was good, and what serves now is not.
    Rollback {
        /// What serves now.
        bad: Digest,
        /// What is wrong with that.
        why: String,
        /// Whether that is to be remembered: what only could not be opened may be one day.
        for_good: bool,
    },
}

impl Candidate {
    /// Begins after `delay`, with as many workers as `plugin` has now, so that the swap finds them ready.
    pub(super) fn new(
        plugin: &Arc<Plugin>,
        generation: Arc<Generation>,
        wish: Wish,
        purpose: Purpose,
        delay: Duration,
    ) -> Self {
        let (plugin, candidate) = (Arc::clone(plugin), Arc::clone(&generation));
        let is_urgent = matches!(purpose, Purpose::Rollback { .. });
        let work = async move {
            tokio::time::sleep(delay).await;
            let serving = candidate.serving().await?;
            serving.lane.warm(alive(&plugin)).await?;
            if is_urgent || plugin.reason().is_some() {
                // What serves does not: there is nothing to wait for.
                return Ok(());
            }
            // Code that cannot be ended must not hold up all that come after it.
            let patience = candidate.config().deadline.duration() + SLACK;
            let room = plugin.until_few_drain(MOST_DRAINING);
            let _ = tokio::time::timeout(patience, room).await;
            Ok(())
        };
        Self {
            generation,
            wish,
            purpose,
            work: work.boxed(),
        }
    }

    /// Waits until it can serve, or cannot. Dropped while it waits, it goes on where it was.
    pub(super) async fn is_ready(&mut self) -> Result<(), Exhausted> {
        (&mut self.work).await
    }
}

/// How many workers the plugin has for its calls.
fn alive(plugin: &Plugin) -> usize {
    let stable = plugin.stable();
    let serving = stable.as_ref().and_then(|stable| stable.serving_now());
    serving.map_or(0, |serving| serving.lane.alive())
}
