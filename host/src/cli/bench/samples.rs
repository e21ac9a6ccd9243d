//! How long calls took, and what that comes to.

use std::time::{Duration, Instant};

use serde::Serialize;

/// What came of calls.
#[derive(Default)]
pub(super) struct Samples {
    began: Option<Instant>,
    took: Vec<Duration>,
    failed: usize,
    /// What the first that failed said.
    problem: Option<String>,
}

/// One row: durations in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) lane: &'static str,
    pub(super) clients: usize,
    pub(super) calls: usize,
    pub(super) calls_per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    pub(super) failed: usize,
    /// What the first call that failed was answered.
    pub(super) problem: Option<String>,
}

impl Samples {
    /// Of calls from this moment on.
    pub(super) fn beginning(began: Instant) -> Self {
        Self {
            began: Some(began),
            ..Self::default()
        }
    }

    /// A call that went well.
    pub(super) fn add(&mut self, took: Duration) {
        self.took.push(took);
    }

    /// A call that did not.
    pub(super) fn fail(&mut self, problem: &str) {
        self.failed += 1;
        self.problem.get_or_insert_with(|| problem.to_owned());
    }

    /// Those of another client too.
    pub(super) fn join(&mut self, other: Self) {
        self.took.extend(other.took);
        self.failed += other.failed;
        self.problem = self.problem.take().or(other.problem);
    }

    /// What they come to, now that the last is over.
    pub(super) fn row(mut self, lane: &'static str, clients: usize) -> Row {
        let elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        self.took.sort_unstable();
        let calls = self.took.len();
        let part = |thousandths: usize| {
            let last = calls.saturating_sub(1);
            let took = self.took.get(last * thousandths / 1000);
            took.map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        Row {
            lane,
            clients,
            calls,
            calls_per_second: calls as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            p50_ms: part(500),
            p90_ms: part(900),
            p99_ms: part(990),
            max_ms: part(1000),
            failed: self.failed,
            problem: self.problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_of_all_clients() {
        let mut all = Samples::beginning(Instant::now());
        for part in [1..51, 51..101] {
            let mut samples = Samples::default();
            part.for_each(|millis| samples.add(Duration::from_millis(millis)));
            samples.fail("first");
            samples.fail("second");
            all.join(samples);
        }
        let row = all.row("process", 2);
        assert_eq!((row.calls, row.failed, row.clients), (100, 4, 2));
        assert_eq!((row.p50_ms, row.p90_ms), (50.0, 90.0));
        assert_eq!((row.p99_ms, row.max_ms), (99.0, 100.0));
        assert_eq!(row.problem.as_deref(), Some("first"));
    }

    #[test]
    fn no_call_at_all_is_no_number_out_of_nothing() {
        let row = Samples::beginning(Instant::now()).row("process", 1);
        assert_eq!((row.calls, row.calls_per_second, row.max_ms), (0, 0.0, 0.0));
    }
}
