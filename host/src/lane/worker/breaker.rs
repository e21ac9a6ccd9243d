//! Holds a plugin back that crashes too often, and lets it try again after a while: a circuit breaker.
//! What it knows of a build survives the host, in a file named by the build's hash.
//!
//! It opens after three crashes within a minute that are also at least half of that minute's calls.
//! It is open for 1 s at first, then twice as long each time, up to 5 min; then one call may try.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::call::{Exhausted, Listener, News};
use crate::names::{Digest, PluginName};
use crate::record;

const CRASHES: u32 = 3;
const WINDOW: usize = 60;
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// One build's record.
#[derive(Debug)]
pub(super) struct Breaker {
    plugin: PluginName,
    listener: Listener,
    file: PathBuf,
    started: Instant,
    seconds: [Second; WINDOW],
    /// Whether there is anything to look up behind the lock.
    is_open: AtomicBool,
    state: Mutex<State>,
}

/// What happened in one second of the window.
#[derive(Debug, Default)]
struct Second {
    /// Which second, counted from 1.
    number: AtomicU64,
    calls: AtomicU32,
    crashes: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    /// How often it has opened in a row.
    trips: u32,
    /// Until when it is open; nothing while it is closed.
    until: Option<DateTime<Utc>>,
    /// Whether somebody tries.
    trying: bool,
    last_crash: String,
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    plugin: String,
    trips: u32,
    until: DateTime<Utc>,
    last_crash: String,
}

/// The right to try while others are held back. Given back with its drop.
pub(super) struct Try<'a>(Option<&'a Breaker>);

impl Try<'_> {
    /// Of what was never let in: the start of a worker.
    pub(super) const NONE: Try<'static> = Try(None);

    fn is_trial(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.0 {
            breaker.lock().trying = false;
        }
    }
}

impl Breaker {
    /// The record of a build, as an earlier host has left it in `folder`; what changes, `listener` hears.
    pub(super) fn load(
        folder: &Path,
        digest: Digest,
        plugin: PluginName,
        listener: Listener,
    ) -> Self {
        let file = folder.join(format!("{digest}.json"));
        let latest = Utc::now() + LONGEST;
        let state = record::read(&file).map_or_else(State::default, |record: Record| State {
            trips: record.trips,
            // A clock that was set back, or a damaged record, holds nobody back for longer.
            until: Some(record.until.min(latest)),
            trying: false,
            last_crash: record.last_crash,
        });
        Self {
            plugin,
            listener,
            file,
            started: Instant::now(),
            seconds: std::array::from_fn(|_| Second::default()),
            is_open: AtomicBool::new(state.until.is_some()),
            state: Mutex::new(state),
        }
    }

    /// Why calls are held back now, if they are.
    pub(super) fn holds_back(&self) -> Option<Exhausted> {
        if !self.is_open.load(Relaxed) {
            return None;
        }
        self.lock().holds_back(Utc::now(), &self.plugin)
    }

    /// Whether it is closed: no call is held back.
    pub(super) fn is_closed(&self) -> bool {
        !self.is_open.load(Relaxed)
    }

    /// Lets a call in, or says why not.
    pub(super) fn enter(&self) -> Result<Try<'_>, Exhausted> {
        if !self.is_open.load(Relaxed) {
            return Ok(Try(None));
        }
        let mut state = self.lock();
        if let Some(exhausted) = state.holds_back(Utc::now(), &self.plugin) {
            return Err(exhausted);
        }
        if state.until.is_none() {
            return Ok(Try(None));
        }
        state.trying = true;
        Ok(Try(Some(self)))
    }

    /// Counts a call that has ended well enough: its worker lives. Only the one that was to try shows
    /// that the plugin works again; others were let in before.
    pub(super) fn survived(&self, attempt: &Try<'_>) {
        let second = self.now();
        second.calls.fetch_add(1, Relaxed);
        if attempt.is_trial() {
            self.close("a call has shown that it works again");
        }
    }

    /// Counts a call that has ended its worker; `cause` says how.
    pub(super) fn crashed(&self, attempt: &Try<'_>, cause: &str) {
        let second = self.now();
        second.calls.fetch_add(1, Relaxed);
        second.crashes.fetch_add(1, Relaxed);
        let mut state = self.lock();
        let (calls, crashes) = self.of_the_last_minute();
        let is_closed = state.until.is_none();
        if attempt.is_trial() || is_closed && crashes >= CRASHES && crashes * 2 >= calls {
            state.last_crash = cause.to_owned();
            self.open(&mut state, crashes);
        }
    }

    /// Forgets all crashes: by an operator's will, or because it works.
    pub(super) fn close(&self, why: &'static str) {
        let mut state = self.lock();
        for second in &self.seconds {
            second.number.store(0, Relaxed);
        }
        if state.until.take().is_none() {
            return;
        }
        *state = State::default();
        self.is_open.store(false, Relaxed);
        // Where it cannot be removed, the plugin is held back once more after a restart.
        let _ = fs::remove_file(&self.file);
        self.listener.tell(News::Released { why });
    }

    fn open(&self, state: &mut State, crashes: u32) {
        let delay = FIRST.saturating_mul(1 << state.trips.min(16)).min(LONGEST);
        let until = Utc::now() + delay;
        state.trips = state.trips.saturating_add(1);
        state.until = Some(until);
        state.trying = false;
        self.is_open.store(true, Relaxed);
        self.listener.tell(News::Quarantined {
            crashes,
            delay,
            last_crash: state.last_crash.clone(),
        });
        let record = Record {
            plugin: self.plugin.to_string(),
            trips: state.trips,
            until,
            last_crash: state.last_crash.clone(),
        };
        // A few hundred bytes, at most once a second.
        if let Err(error) = record::keep(&self.file, &record) {
            let plugin = self.plugin.as_str();
            warn!(plugin, %error, "the quarantine is forgotten with a restart: it cannot be written down");
        }
    }

    fn of_the_last_minute(&self) -> (u32, u32) {
        let now = self.second();
        let recent = self.seconds.iter().filter(|second| {
            let number = second.number.load(Relaxed);
            number > 0 && number + WINDOW as u64 > now
        });
        recent.fold((0, 0), |(calls, crashes), second| {
            let (more_calls, more_crashes) =
                (second.calls.load(Relaxed), second.crashes.load(Relaxed));
            (calls + more_calls, crashes + more_crashes)
        })
    }

    /// The counters of this second. Calls that come in while it begins may be lost to them.
    fn now(&self) -> &Second {
        let number = self.second();
        let second = &self.seconds[(number % WINDOW as u64) as usize];
        let found = second.number.load(Relaxed);
        if found != number
            && second
                .number
                .compare_exchange(found, number, Relaxed, Relaxed)
                .is_ok()
        {
            second.calls.store(0, Relaxed);
            second.crashes.store(0, Relaxed);
        }
        second
    }

    fn second(&self) -> u64 {
        self.started.elapsed().as_secs() + 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn holds_back(&self, now: DateTime<Utc>, plugin: &PluginName) -> Option<Exhausted> {
        let left = (self.until? - now)
            .to_std()
            .unwrap_or_default()
            .min(LONGEST);
        if left.is_zero() && !self.trying {
            return None;
        }
        // Somebody tries, and it will be known soon what comes of it.
        let left = left.max(FIRST);
        let last_crash = &self.last_crash;
        Some(Exhausted {
            reason: format!(
                "quarantined: it crashed too often, at last: {last_crash}; it is tried again in {} s, or \
                 at once after POST /v1/plugins/{plugin}/enable",
                left.as_secs_f64().ceil()
            ),
            retry_after: Some(left),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        Digest::new([7; 32])
    }

    fn breaker(folder: &Path) -> Breaker {
        Breaker::load(
            folder,
            digest(),
            PluginName::parse("any").unwrap(),
            Listener::nobody(),
        )
    }

    #[test]
    fn cr_06_three_crashes_that_are_half_of_all_calls_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let breaker = breaker(folder.path());
        (0..3).for_each(|_| breaker.survived(&Try::NONE));
        breaker.crashed(&Try::NONE, "a");
        breaker.crashed(&Try::NONE, "b");
        assert!(breaker.holds_back().is_none());
        breaker.crashed(&Try::NONE, "c");
        let held = breaker.holds_back().unwrap();
        assert!(held.reason.starts_with("quarantined: "), "{}", held.reason);
        assert!(held.reason.contains("at last: c;"), "{}", held.reason);
        assert!(breaker.enter().is_err());
    }

    #[test]
    fn one_burst_is_one_quarantine() {
        let folder = tempfile::tempdir().unwrap();
        let breaker = breaker(folder.path());
        (0..16).for_each(|_| breaker.crashed(&Try::NONE, "x"));
        let left = breaker.holds_back().unwrap().retry_after.unwrap();
        assert_eq!(left, FIRST);
    }

    #[test]
    fn crashes_that_are_rare_leave_it_closed() {
        let folder = tempfile::tempdir().unwrap();
        let breaker = breaker(folder.path());
        (0..100).for_each(|_| breaker.survived(&Try::NONE));
        (0..99).for_each(|_| breaker.crashed(&Try::NONE, "x"));
        assert!(breaker.is_closed());
        breaker.crashed(&Try::NONE, "x");
        assert!(!breaker.is_closed());
    }

    #[test]
    fn after_a_while_one_may_try() {
        let folder = tempfile::tempdir().unwrap();
        let breaker = breaker(folder.path());
        (0..3).for_each(|_| breaker.crashed(&Try::NONE, "x"));
        breaker.lock().until = Some(Utc::now());
        let first = breaker.enter().ok().unwrap();
        assert!(breaker.enter().is_err(), "one at a time");
        drop(first);
        let second = breaker.enter().ok().unwrap();
        breaker.survived(&Try::NONE);
        breaker.crashed(&Try::NONE, "of before");
        assert!(!breaker.is_closed(), "only who tries decides");
        breaker.crashed(&second, "y");
        let state = breaker.lock();
        let left = (state.until.unwrap() - Utc::now()).num_milliseconds();
        assert!((1_500..=2_000).contains(&left), "{left} ms: twice as long");
    }

    #[test]
    fn it_is_never_open_for_more_than_five_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let breaker = breaker(folder.path());
        (0..3).for_each(|_| breaker.crashed(&Try::NONE, "x"));
        for _ in 0..40 {
            breaker.lock().until = Some(Utc::now());
            let attempt = breaker.enter().ok().unwrap();
            breaker.crashed(&attempt, "x");
        }
        let left = breaker.holds_back().unwrap().retry_after.unwrap();
        assert!(left <= LONGEST && left > LONGEST / 2);
    }

    #[test]
    fn it_is_still_open_after_a_restart_and_closed_for_good_by_an_operator() {
        let folder = tempfile::tempdir().unwrap();
        let before = breaker(folder.path());
        (0..3).for_each(|_| before.crashed(&Try::NONE, "x"));
        let after = breaker(folder.path());
        assert!(after.holds_back().is_some());
        after.close("an operator wants it");
        assert!(after.enter().is_ok());
        assert!(breaker(folder.path()).is_closed());
        after.crashed(&Try::NONE, "x");
        assert!(after.is_closed(), "crashes before do not count any more");
    }

    #[test]
    fn what_was_noted_holds_nobody_back_for_longer_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record {
            plugin: "any".to_owned(),
            trips: u32::MAX,
            until: DateTime::<Utc>::MAX_UTC,
            last_crash: "x".to_owned(),
        };
        let file = folder.path().join(format!("{}.json", digest()));
        record::keep(&file, &record).unwrap();
        let breaker = breaker(folder.path());
        let until = breaker.lock().until.unwrap();
        assert!(until <= Utc::now() + LONGEST);
        breaker.lock().until = Some(Utc::now());
        let attempt = breaker.enter().ok().unwrap();
        breaker.crashed(&attempt, "y");
        assert!(breaker.holds_back().is_some());
    }

    #[test]
    fn a_call_that_works_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let breaker = breaker(folder.path());
        (0..3).for_each(|_| breaker.crashed(&Try::NONE, "x"));
        breaker.lock().until = Some(Utc::now());
        let attempt = breaker.enter().ok().unwrap();
        breaker.survived(&attempt);
        assert!(breaker.is_closed());
    }
}
