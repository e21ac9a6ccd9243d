//! Counts requests by their route, their method and the status of their answer. Keeps no path: what matched no route is
//! one route.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::histogram::{Distribution, Histogram};

/// The route of what matched none.
pub(super) const UNMATCHED: &str = "unmatched";

/// The verbs that are counted by their names.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// What a request is counted under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Asked {
    /// The route as it is written in the router.
    pub(super) route: Arc<str>,
    /// The verb, or `other`.
    pub(super) method: &'static str,
    /// The status of the answer.
    pub(super) status: u16,
}

type Counts = HashMap<Asked, Arc<Histogram>, foldhash::fast::RandomState>;

/// The requests of one start of the host. A request that is like one before takes no lock.
#[derive(Debug, Default)]
pub struct RequestStats {
    counts: ArcSwap<Counts>,
    writer: Mutex<()>,
}

impl RequestStats {
    /// Counts a request whose answer took so long to begin.
    pub(super) fn record(&self, asked: Asked, nanoseconds: u64) {
        if let Some(known) = self.counts.load().get(&asked) {
            return known.record(nanoseconds);
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = Counts::clone(&self.counts.load());
        counts.entry(asked).or_default().record(nanoseconds);
        self.counts.store(Arc::new(counts));
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<(Asked, Distribution)> {
        let counts = self.counts.load();
        let counts = counts.iter();
        let mut all: Vec<_> = counts
            .map(|(asked, histogram)| (asked.clone(), histogram.distribution()))
            .collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

/// A verb as it is counted: clients may send any word.
pub(super) fn method(word: &str) -> &'static str {
    let known = METHODS.iter().find(|known| **known == word);
    known.copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_what_they_are() {
        let stats = RequestStats::default();
        let asked = |word: &str, status| Asked {
            route: UNMATCHED.into(),
            method: method(word),
            status,
        };
        for (word, status) in [("GET", 404), ("BREW", 404), ("GET", 404), ("FRY", 404)] {
            stats.record(asked(word, status), 1);
        }
        let all = stats.all();
        let all: Vec<_> = all.iter().map(|(it, n)| (it.method, n.count())).collect();
        assert_eq!(all, [("GET", 2), ("other", 2)]);
    }
}
