//! How long a daemon that is away, or has no room, is asked again. Knows not what it is asked for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::daemon::DaemonError;
use super::bars::Bar;
use super::crew::Stop;

/// The first pause; each next one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause, but where the daemon asks for a longer one.
const LONGEST: Duration = Duration::from_secs(5);
/// How long a daemon may be away before people hear of it.
const QUIET: Duration = Duration::from_secs(1);

/// How long all who ask one daemon bear that nothing goes well; shared by them.
pub(super) struct Patience<'a> {
    limit: Duration,
    bar: &'a Bar,
    trouble: Mutex<Option<Trouble>>,
}

/// A time in which nothing goes well.
struct Trouble {
    since: Instant,
    is_told: bool,
}

impl<'a> Patience<'a> {
    /// So much of it; what tries it is told around `bar`.
    pub(super) fn new(limit: Duration, bar: &'a Bar) -> Self {
        let trouble = Mutex::default();
        Self {
            limit,
            bar,
            trouble,
        }
    }

    /// Asks until there is an answer, or an error that will not pass, or patience is over: then the error is the
    /// last one. `None` when the work is to end meanwhile.
    pub(super) fn persist<R>(
        &self,
        stop: &Stop,
        mut ask: impl FnMut() -> Result<R, DaemonError>,
    ) -> Option<Result<R, DaemonError>> {
        let mut tries = 0;
        loop {
            let error = match ask() {
                Err(error) if error.is_passing() => error,
                answer => {
                    self.renew();
                    return Some(answer);
                }
            };
            let Some(pause) = self.tried(tries, &error) else {
                return Some(Err(error));
            };
            tries += 1;
            if stop.sleep(pause) {
                return None;
            }
        }
    }

    /// The daemon has answered somebody.
    fn renew(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long to wait before the next try.
    fn tried(&self, tries: u32, error: &DaemonError) -> Option<Duration> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = trouble.get_or_insert_with(|| Trouble {
            since: Instant::now(),
            is_told: false,
        });
        let borne = trouble.since.elapsed();
        let pause = pause(tries, error.retry_after(), borne, self.limit)?;
        if borne >= QUIET && !trouble.is_told {
            trouble.is_told = true;
            let limit = self.limit.as_secs();
            self.bar
                .note(&format!("bulkhead: {error}; it is tried for {limit} s"));
        }
        Some(pause)
    }
}

/// How long to wait before the next try: twice as long each time, no shorter than the daemon asks for, and no
/// longer than patience lasts; `None` when that is over.
fn pause(
    tries: u32,
    asked: Option<Duration>,
    borne: Duration,
    limit: Duration,
) -> Option<Duration> {
    let left = limit
        .checked_sub(borne)
        .filter(|left| *left > Duration::ZERO)?;
    let doubled = FIRST.saturating_mul(1 << tries.min(16)).min(LONGEST);
    Some(doubled.max(asked.unwrap_or_default()).min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let seconds = Duration::from_secs_f64;
        for (tries, asked, borne, expected) in [
            (0, None, 0.0, Some(0.1)),
            (1, None, 0.1, Some(0.2)),
            (4, None, 1.0, Some(1.6)),
            (6, None, 1.0, Some(5.0)),
            (4_000_000_000, None, 1.0, Some(5.0)),
            (0, Some(1.0), 0.0, Some(1.0)),
            (6, Some(1.0), 0.0, Some(5.0)),
            // The last try comes when patience ends, whatever the daemon asks for.
            (0, Some(3600.0), 29.0, Some(1.0)),
            (6, None, 29.5, Some(0.5)),
            (0, None, 30.0, None),
            (0, Some(1.0), 31.0, None),
        ] {
            let found = pause(tries, asked.map(seconds), seconds(borne), seconds(30.0));
            assert_eq!(
                found,
                expected.map(seconds),
                "{tries} {asked:?} after {borne}"
            );
        }
        assert_eq!(pause(0, None, Duration::ZERO, Duration::ZERO), None);
    }
}
