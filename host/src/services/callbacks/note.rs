//! What is noted of a try, and when the next one is. Knows no network.

use std::time::Duration;

use tracing::{debug, warn};
use uuid::Uuid;

use super::deliver::Told;
use crate::jobs::{CallbackEnd, Time};
use crate::names::PluginName;

/// How long after the first try the second may come; doubles with each.
const FIRST: Duration = Duration::from_secs(1);
/// No more than this between two tries.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What the store is told of a try, the `attempt`th of at most `attempts`.
pub(super) fn end(job: Uuid, told: Told, attempt: u32, attempts: u32, now: Time) -> CallbackEnd {
    let nothing = CallbackEnd {
        job,
        delivered_at: None,
        due: None,
        error: None,
    };
    match told {
        Told::Heard => CallbackEnd {
            delivered_at: Some(now),
            ..nothing
        },
        Told::Gone => CallbackEnd {
            error: Some("answered 410: nobody there wants to hear of it".to_owned()),
            ..nothing
        },
        Told::Failed(reason) => CallbackEnd {
            due: (attempt < attempts).then(|| now + pause(attempt, jitter())),
            error: Some(reason),
            ..nothing
        },
    }
}

/// One line for every try; those that are the last are warnings, if nobody heard them.
pub(super) fn tell(end: &CallbackEnd, (request, plugin): &(String, PluginName), attempt: u32) {
    let (job, error) = (end.job, end.error.as_deref().unwrap_or_default());
    let plugin = plugin.as_str();
    match (end.delivered_at, end.due) {
        (Some(_), _) => debug!(request, %job, plugin, attempt, "callback delivered"),
        (None, Some(due)) => {
            debug!(request, %job, plugin, attempt, error, %due, "callback failed, to be tried again")
        }
        (None, None) => warn!(request, %job, plugin, attempt, error, "callback given up"),
    }
}

/// From the `attempt`th try to the next; `jitter` thousandths longer, so that what failed together comes apart.
fn pause(attempt: u32, jitter: u32) -> Duration {
    let doubled = FIRST.saturating_mul(
        1_u32
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX),
    );
    let pause = doubled.min(LONGEST);
    pause + pause * jitter / 1000
}

/// 0 to 100 thousandths.
fn jitter() -> u32 {
    u32::try_from(Uuid::new_v4().as_u128() % 101).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let seconds = |attempt| pause(attempt, 0).as_secs();
        let pauses: Vec<_> = (1..=13).map(seconds).collect();
        assert_eq!(
            pauses,
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600]
        );
        assert_eq!((seconds(32), seconds(33), seconds(100)), (3600, 3600, 3600));
        assert_eq!(pause(1, 100), Duration::from_millis(1100));
        assert!((0..1000).all(|_| jitter() <= 100));
    }

    #[test]
    fn what_is_noted_of_a_try() {
        let (job, now) = (Uuid::now_v7(), chrono::Utc::now());
        let failed = || Told::Failed("no".to_owned());
        let heard = end(job, Told::Heard, 3, 10, now);
        assert_eq!(
            (heard.delivered_at, heard.due, heard.error),
            (Some(now), None, None)
        );
        let gone = end(job, Told::Gone, 1, 10, now);
        assert_eq!((gone.delivered_at, gone.due), (None, None));
        assert!(gone.error.unwrap().contains("410"));
        let again = end(job, failed(), 3, 10, now);
        let pause = (again.due.unwrap() - now).num_milliseconds();
        assert!((4000..=4400).contains(&pause), "{pause}");
        assert_eq!(
            (again.delivered_at, again.error.as_deref()),
            (None, Some("no"))
        );
        for attempt in [10, 11] {
            let over = end(job, failed(), attempt, 10, now);
            assert_eq!((over.delivered_at, over.due), (None, None));
            assert_eq!(over.error.as_deref(), Some("no"));
        }
    }
}
