//! What a while has cost this process in time of processors: all of its threads, and those that write the store.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The name of a thread that writes a store.
const WRITER: &str = "jobs-writer";

/// Nothing where the system does not tell.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) total: Duration,
    pub(crate) writer: Duration,
}

/// What all threads have spent so far.
pub(crate) struct Mark(HashMap<String, (bool, Duration)>);

impl Mark {
    pub(crate) fn now() -> Self {
        let tasks = fs::read_dir("/proc/self/task");
        let tasks = tasks.into_iter().flatten().flatten();
        let threads = tasks.filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanos = times.split_whitespace().next()?.parse().ok()?;
            let id = task.file_name().into_string().ok()?;
            Some((id, (name.trim() == WRITER, Duration::from_nanos(nanos))))
        });
        Self(threads.collect())
    }

    /// What was spent since.
    pub(crate) fn elapsed(&self) -> Spent {
        let mut spent = Spent::default();
        for (id, (is_writer, now)) in Self::now().0 {
            let before = self
                .0
                .get(&id)
                .map_or(Duration::ZERO, |(_, before)| *before);
            let passed = now.saturating_sub(before);
            spent.total += passed;
            if is_writer {
                spent.writer += passed;
            }
        }
        spent
    }
}
