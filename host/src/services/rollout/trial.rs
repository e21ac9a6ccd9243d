//! What a canary's calls say of it. Knows numbers, and neither plugins nor clocks.

use std::time::Duration;

use crate::registry::Totals;

/// With fewer calls nothing is known.
const LEAST_CALLS: u64 = 20;
/// With fewer faults it may have been chance.
const LEAST_FAULTS: u64 = 3;
/// How many more of a hundred calls may fault than of the stable generation's.
const MOST_MORE_PERCENT: f64 = 5.0;

/// What is to become of a canary.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is too early to tell.
    Wait,
    /// It is as good as what it is to replace.
    Promote,
    /// It is worse.
    End {
        /// In numbers.
        why: String,
    },
}

/// Calls that ended, and those of them that speak against the build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) calls: u64,
    pub(super) faults: u64,
}

impl Score {
    /// What came since `before`.
    pub(super) fn between(before: Totals, now: Totals) -> Self {
        Self {
            calls: now.calls().saturating_sub(before.calls()),
            faults: now.faults.saturating_sub(before.faults),
        }
    }

    fn percent(self) -> f64 {
        // Counts of calls lose nothing that matters here.
        100.0 * self.faults as f64 / self.calls.max(1) as f64
    }
}

/// Judges a canary by its own calls and those of the stable generation in the same time. It is ended as soon as it is
/// known to be worse, and promoted once `window` has passed; with too few calls it goes on.
pub(super) fn judge(canary: Score, stable: Score, elapsed: Duration, window: Duration) -> Verdict {
    let worse = canary.percent() > stable.percent() + MOST_MORE_PERCENT;
    let enough = canary.calls >= LEAST_CALLS || canary.faults * 2 >= canary.calls;
    if worse && enough && canary.faults >= LEAST_FAULTS {
        let (calls, faults) = (canary.calls, canary.faults);
        return Verdict::End {
            why: format!(
                "{faults} of its {calls} calls failed ({:.1} %), and {:.1} % of the calls beside it",
                canary.percent(),
                stable.percent()
            ),
        };
    }
    if elapsed >= window && canary.calls >= LEAST_CALLS {
        Verdict::Promote
    } else {
        Verdict::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_judged_by_its_faults_and_those_beside_it() {
        let check = |canary: (u64, u64), stable: (u64, u64), seconds, expected: &str| {
            let score = |(calls, faults)| Score { calls, faults };
            let (elapsed, window) = (Duration::from_secs(seconds), Duration::from_secs(60));
            let verdict = judge(score(canary), score(stable), elapsed, window);
            let word = match verdict {
                Verdict::Wait => "wait",
                Verdict::Promote => "promote",
                Verdict::End { .. } => "end",
            };
            assert_eq!(
                word, expected,
                "{canary:?} beside {stable:?} after {seconds} s"
            );
        };
        check((0, 0), (0, 0), 3600, "wait");
        check((19, 0), (1000, 0), 3600, "wait");
        check((20, 0), (1000, 0), 59, "wait");
        check((20, 0), (1000, 0), 60, "promote");
        check((2, 2), (1000, 0), 1, "wait");
        check((3, 3), (1000, 0), 1, "end");
        check((7, 3), (1000, 0), 1, "wait");
        check((20, 3), (1000, 0), 1, "end");
        check((100, 5), (1000, 0), 60, "promote");
        check((100, 6), (1000, 0), 1, "end");
        check((100, 50), (1000, 500), 60, "promote");
        check((100, 50), (0, 0), 1, "end");
    }

    #[test]
    fn it_says_why_in_numbers() {
        let canary = Score {
            calls: 40,
            faults: 10,
        };
        let stable = Score {
            calls: 360,
            faults: 9,
        };
        let verdict = judge(canary, stable, Duration::ZERO, Duration::from_secs(60));
        let why = "10 of its 40 calls failed (25.0 %), and 2.5 % of the calls beside it".to_owned();
        assert_eq!(verdict, Verdict::End { why });
    }
}
