//! When a file counts: once it has stood still for a while and nobody writes to it. A state machine without a clock,
//! files or folders: it is told what was seen and when, and who writes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

/// How long what must be waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a file to stand still.
    pub(super) settle: Duration,
    /// The same, where nobody can tell whether it is being written.
    pub(super) unasked: Duration,
    /// For a file to stay away: many tools remove one before they make the next.
    pub(super) removal: Duration,
}

/// Whether somebody has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// Nobody has.
    Closed,
    /// Somebody has, or it changed while the question was asked.
    Open,
    /// The system does not tell.
    Unknown,
}

/// The files of a folder: how each counts, and what it is about to become. `S` tells one state of a file from another.
#[derive(Debug)]
pub(super) struct Settling<S> {
    patience: Patience,
    files: BTreeMap<OsString, File<S>>,
    has_changed: bool,
}

#[derive(Debug)]
struct File<S> {
    settled: Option<S>,
    becoming: Becoming<S>,
}

#[derive(Debug)]
enum Becoming<S> {
    /// It is as it counts.
    Same,
    /// It is another, and not yet known to be whole.
    Other {
        state: S,
        since: Instant,
        ask_at: Instant,
    },
    /// It is not there; only of files that count.
    Gone { since: Instant },
}

impl<S: Clone + PartialEq> Settling<S> {
    /// These files count as they are.
    pub(super) fn new(patience: Patience, settled: BTreeMap<OsString, S>) -> Self {
        let counts = |(name, state)| {
            let becoming = Becoming::Same;
            let settled = Some(state);
            (name, File { settled, becoming })
        };
        Self {
            patience,
            files: settled.into_iter().map(counts).collect(),
            has_changed: false,
        }
    }

    /// All files of the folder were seen; the last of them at `at`.
    pub(super) fn observe(&mut self, mut seen: BTreeMap<OsString, S>, at: Instant) {
        let settle = self.patience.settle;
        self.files.retain(|name, file| {
            file.see(seen.remove(name), at, settle);
            file.settled.is_some() || matches!(file.becoming, Becoming::Other { .. })
        });
        self.files.extend(seen.into_iter().map(|(name, state)| {
            let becoming = Becoming::other(state, at, settle);
            let settled = None;
            (name, File { settled, becoming })
        }));
    }

    /// The folder could not be seen: what counts stays, and all waiting begins anew when it can be seen again.
    pub(super) fn lose_sight(&mut self) {
        self.files.retain(|_, file| {
            file.becoming = Becoming::Same;
            file.settled.is_some()
        });
    }

    /// Lets those removals count that were seen long enough before `now`, when a look began that did not find the file.
    pub(super) fn remove_gone(&mut self, now: Instant) {
        let removal = self.patience.removal;
        let before = self.files.len();
        self.files.retain(
            |_, file| !matches!(file.becoming, Becoming::Gone { since } if since + removal <= now),
        );
        self.has_changed |= self.files.len() < before;
    }

    /// The files that stood still for long enough before `now`, for which [`answer`](Self::answer) is wanted.
    pub(super) fn due(&self, now: Instant) -> Vec<(OsString, S)> {
        let due = |(name, file): (&OsString, &File<S>)| match &file.becoming {
            Becoming::Other { state, ask_at, .. } if *ask_at <= now => {
                Some((name.clone(), state.clone()))
            }
            Becoming::Other { .. } | Becoming::Same | Becoming::Gone { .. } => None,
        };
        self.files.iter().filter_map(due).collect()
    }

    /// Whether somebody writes to a file that was due: it counts now, or is due later again.
    pub(super) fn answer(&mut self, name: &OsStr, writer: Writer, now: Instant) {
        let patience = self.patience;
        let Some(file) = self.files.get_mut(name) else {
            return;
        };
        let Becoming::Other {
            state,
            since,
            ask_at,
        } = &mut file.becoming
        else {
            return;
        };
        *ask_at = match writer {
            Writer::Closed => now,
            Writer::Open => now + patience.settle,
            Writer::Unknown => *since + patience.unasked.max(patience.settle),
        };
        if *ask_at <= now && writer != Writer::Open {
            file.settled = Some(state.clone());
            file.becoming = Becoming::Same;
            self.has_changed = true;
        }
    }

    /// When the next file can count, or the next removal; nothing while all is as it counts.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = |file: &File<S>| match file.becoming {
            Becoming::Same => None,
            Becoming::Other { ask_at, .. } => Some(ask_at),
            Becoming::Gone { since } => Some(since + self.patience.removal),
        };
        self.files.values().filter_map(next).min()
    }

    /// The files that count.
    pub(super) fn settled(&self) -> impl Iterator<Item = (&OsString, &S)> {
        let settled = |(name, file)| Some((name, File::settled(file)?));
        self.files.iter().filter_map(settled)
    }

    /// Whether other files count than when this was last asked.
    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }
}

impl<S: PartialEq> File<S> {
    fn see(&mut self, state: Option<S>, at: Instant, settle: Duration) {
        self.becoming = match (&self.becoming, state) {
            (Becoming::Gone { .. }, None) => return,
            (Becoming::Same | Becoming::Other { .. }, None) => Becoming::Gone { since: at },
            (_, Some(now)) if self.settled.as_ref() == Some(&now) => Becoming::Same,
            (Becoming::Other { state, .. }, Some(now)) if *state == now => return,
            (_, Some(now)) => Becoming::other(now, at, settle),
        };
    }

    fn settled(&self) -> Option<&S> {
        self.settled.as_ref()
    }
}

impl<S> Becoming<S> {
    fn other(state: S, since: Instant, settle: Duration) -> Self {
        Self::Other {
            state,
            since,
            ask_at: since + settle,
        }
    }
}

#[cfg(test)]
mod tests;
