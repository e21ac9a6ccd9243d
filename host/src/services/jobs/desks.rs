//! Where jobs that this host has claimed wait for their turn: a desk for each plugin, so that no plugin's jobs keep
//! another's from being run. Knows no store.
//!
//! A desk has as many seats as its plugin runs calls at a time, and some more where its calls are short: what would
//! take longer to fetch than to run is fetched ahead.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::held::HeldJob;
use crate::call::Payload;
use crate::names::PluginName;

/// As much work as is fetched ahead.
const AHEAD: Duration = Duration::from_millis(50);
/// The most jobs that are fetched ahead for a plugin.
const MOST_AHEAD: usize = 256;

/// A job of ours that can be run.
pub(super) struct Ready {
    /// What is known of it, and who may end it.
    pub(super) held: Arc<HeldJob>,
    /// Its image, where that is still in memory.
    pub(super) payload: Option<Payload>,
    /// Its place, until its end is durable.
    pub(super) seat: Seat,
}

/// All desks, by plugin.
#[derive(Default)]
pub(super) struct Desks {
    desks: ArcSwap<HashMap<PluginName, Arc<Desk>>>,
    /// Rings when jobs may be waiting for a free seat.
    pub(super) bell: Arc<Notify>,
}

impl Desks {
    /// Has a desk for each of these plugins, with its number of calls at a time. Gives what waited at others.
    pub(super) fn arrange(&self, plugins: &[(PluginName, usize)]) -> Vec<Ready> {
        let old = self.desks.load_full();
        let desk = |(name, concurrency): &(PluginName, usize)| {
            let known = old.get(name).cloned();
            let desk = known.unwrap_or_else(|| Desk::new(Arc::clone(&self.bell)));
            desk.lock().concurrency = *concurrency;
            (name.clone(), desk)
        };
        let desks: HashMap<_, _> = plugins.iter().map(desk).collect();
        let gone = old.iter().filter(|(name, _)| !desks.contains_key(*name));
        let gone: Vec<_> = gone.map(|(_, desk)| Arc::clone(desk)).collect();
        self.desks.store(Arc::new(desks));
        // One that takes its place there just now is begun all the same.
        gone.iter().flat_map(|desk| desk.clear()).collect()
    }

    /// Whether there are desks of these plugins, and of no others.
    pub(super) fn are_of(&self, plugins: &[(PluginName, usize)]) -> bool {
        let desks = self.desks.load();
        let has = |(name, _): &(PluginName, usize)| desks.contains_key(name);
        desks.len() == plugins.len() && plugins.iter().all(has)
    }

    /// The desk of a plugin, if it can be called now.
    pub(super) fn find(&self, plugin: &PluginName) -> Option<Arc<Desk>> {
        self.desks.load().get(plugin).cloned()
    }

    /// The desks where jobs may be waiting in the store, with the seats that they have free.
    pub(super) fn wanting(&self) -> Vec<(PluginName, usize)> {
        let desks = self.desks.load();
        let wanting = desks.iter().filter_map(|(name, desk)| {
            let wanted = desk.lock().wanted();
            (wanted > 0).then(|| (name.clone(), wanted))
        });
        wanting.collect()
    }

    /// Says that jobs of any plugin may be waiting.
    pub(super) fn look_again(&self) {
        for desk in self.desks.load().values() {
            desk.lock().backlog = true;
        }
        self.bell.notify_one();
    }

    /// Everything that waits for its turn.
    pub(super) fn clear(&self) -> Vec<Ready> {
        let desks = self.desks.load();
        desks.values().flat_map(|desk| desk.clear()).collect()
    }
}

/// The jobs of one plugin.
pub(super) struct Desk {
    state: Mutex<State>,
    bell: Arc<Notify>,
}

#[derive(Default)]
struct State {
    concurrency: usize,
    waiting: VecDeque<Ready>,
    running: usize,
    taken: usize,
    // How long a call takes, of late.
    pace: Option<Duration>,
    // Whether jobs may be waiting in the store.
    backlog: bool,
}

impl Desk {
    fn new(bell: Arc<Notify>) -> Arc<Self> {
        // Nobody knows what waits of a plugin that has just come.
        let state = State {
            backlog: true,
            ..State::default()
        };
        bell.notify_one();
        Arc::new(Self {
            state: Mutex::new(state),
            bell,
        })
    }

    /// A seat for a job that comes just now, if there is one and no other job waits for it.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.lock();
        (!state.backlog && state.free() > 0).then(|| self.take(&mut state))
    }

    /// A seat for a job that was claimed, whether or not there is one free.
    pub(super) fn seat_claimed(self: &Arc<Self>) -> Seat {
        self.take(&mut self.lock())
    }

    /// Notes whether jobs may be waiting in the store.
    pub(super) fn set_backlog(&self, backlog: bool) {
        self.lock().backlog = backlog;
        if backlog {
            self.bell.notify_one();
        }
    }

    /// A job takes its place.
    pub(super) fn sit(&self, job: Ready) {
        self.lock().waiting.push_back(job);
    }

    /// The next job whose turn it is.
    pub(super) fn next(self: &Arc<Self>) -> Option<(Ready, Turn)> {
        let mut state = self.lock();
        if state.running >= state.concurrency {
            return None;
        }
        let job = state.waiting.pop_front()?;
        state.running += 1;
        Some((job, Turn(Arc::clone(self))))
    }

    /// Everything that waits for its turn.
    fn clear(&self) -> Vec<Ready> {
        std::mem::take(&mut self.lock().waiting).into()
    }

    /// Notes how long a call took.
    pub(super) fn count(&self, took: Duration) {
        let mut state = self.lock();
        state.pace = Some(state.pace.map_or(took, |pace| (pace * 7 + took) / 8));
    }

    fn take(self: &Arc<Self>, state: &mut State) -> Seat {
        state.taken += 1;
        Seat(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seats(&self) -> usize {
        let ahead = self.pace.map_or(0, |pace| {
            let calls = AHEAD.as_nanos() / pace.as_nanos().max(1);
            let calls = usize::try_from(calls).unwrap_or(MOST_AHEAD);
            calls.saturating_mul(self.concurrency).min(MOST_AHEAD)
        });
        self.concurrency + ahead
    }

    fn free(&self) -> usize {
        self.seats().saturating_sub(self.taken)
    }

    fn wanted(&self) -> usize {
        if self.backlog { self.free() } else { 0 }
    }
}

/// A place at a desk, free again when it is dropped.
pub(super) struct Seat(Arc<Desk>);

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.taken -= 1;
        if state.backlog {
            self.0.bell.notify_one();
        }
    }
}

/// The right to run one call of the desk's plugin, given back when it is dropped.
pub(super) struct Turn(Arc<Desk>);

impl Turn {
    /// Whose turn it is.
    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.0
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::jobs::held::HeldJobs;
    use crate::services::jobs::test_record;

    fn name(text: &str) -> PluginName {
        PluginName::parse(text).unwrap()
    }

    fn desks(plugins: &[(&str, usize)]) -> Desks {
        let desks = Desks::default();
        let plugins: Vec<_> = plugins
            .iter()
            .map(|(it, count)| (name(it), *count))
            .collect();
        assert!(desks.arrange(&plugins).is_empty());
        desks
    }

    fn job(seat: Seat) -> Ready {
        let held = HeldJobs::default().insert(test_record(), std::time::Instant::now());
        Ready {
            held,
            payload: None,
            seat,
        }
    }

    #[test]
    fn a_job_that_comes_takes_a_seat_only_where_none_waits_for_it() {
        let desks = desks(&[("a", 2)]);
        let desk = desks.find(&name("a")).unwrap();
        assert!(desk.seat().is_none(), "nobody has looked yet what waits");
        desk.set_backlog(false);
        let seats = [desk.seat().unwrap(), desk.seat().unwrap()];
        assert!(desk.seat().is_none(), "it has two");
        drop(seats);
        assert!(desk.seat().is_some());
        desk.set_backlog(true);
        assert!(desk.seat().is_none());
    }

    #[test]
    fn only_free_seats_of_plugins_with_a_backlog_are_filled() {
        let desks = desks(&[("a", 2), ("b", 3)]);
        let (a, b) = (
            desks.find(&name("a")).unwrap(),
            desks.find(&name("b")).unwrap(),
        );
        a.set_backlog(false);
        assert_eq!(desks.wanting(), [(name("b"), 3)]);
        let _seat = b.seat_claimed();
        assert_eq!(desks.wanting(), [(name("b"), 2)]);
        desks.look_again();
        assert_eq!(desks.wanting().len(), 2);
    }

    #[test]
    fn short_calls_are_fetched_ahead_and_long_ones_are_not() {
        let desks = desks(&[("a", 2)]);
        let desk = desks.find(&name("a")).unwrap();
        desk.count(Duration::from_secs(10));
        assert_eq!(desks.wanting(), [(name("a"), 2)]);
        for _ in 0..100 {
            desk.count(Duration::from_millis(1));
        }
        let [(_, wanted)] = desks.wanting()[..] else {
            panic!()
        };
        assert!((50..=2 + 100).contains(&wanted), "{wanted}");
        for _ in 0..100 {
            desk.count(Duration::from_nanos(1));
        }
        assert_eq!(desks.wanting(), [(name("a"), 2 + MOST_AHEAD)]);
    }

    #[test]
    fn no_more_run_at_a_time_than_may() {
        let desks = desks(&[("a", 1)]);
        let desk = desks.find(&name("a")).unwrap();
        desk.sit(job(desk.seat_claimed()));
        desk.sit(job(desk.seat_claimed()));
        let (first, turn) = desk.next().unwrap();
        assert!(desk.next().is_none());
        drop(turn);
        assert!(
            desk.next().is_some(),
            "a turn is over before its seat is free"
        );
        drop(first);
    }

    #[test]
    fn jobs_of_a_plugin_that_goes_are_given_back() {
        let desks = desks(&[("a", 1), ("b", 1)]);
        let desk = desks.find(&name("a")).unwrap();
        desk.sit(job(desk.seat_claimed()));
        let left = desks.arrange(&[(name("b"), 1)]);
        assert_eq!(left.len(), 1);
        assert!(desks.find(&name("a")).is_none());
    }
}
