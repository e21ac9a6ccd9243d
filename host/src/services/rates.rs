//! How often each plugin was called, and how long that took, over the last ten minutes: points at even intervals, taken
//! from what the registry counts. Knows nobody who looks at them, and costs calls nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::names::PluginName;
use crate::registry::{Plugin, Totals};

/// How far points are apart.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How many points are kept of a plugin.
const KEPT: usize = 120;

/// The points of all plugins.
#[derive(Default)]
pub(super) struct Rates(Mutex<HashMap<PluginName, Line>>);

/// One interval of a plugin's life.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RatePoint {
    /// When the interval ended.
    #[serde(serialize_with = "timestamp")]
    pub time: DateTime<Utc>,
    /// Calls that ended in it.
    pub calls: u64,
    /// Those of them that gave an error.
    pub errors: u64,
    /// The median of the recent window; nothing where no call ended in the interval.
    pub p50_ms: Option<f64>,
    /// What 99 of 100 calls of the recent window stayed below.
    pub p99_ms: Option<f64>,
    /// Calls that were running when the interval ended.
    pub in_flight: usize,
}

#[derive(Default)]
struct Line {
    seen: Totals,
    points: VecDeque<RatePoint>,
}

impl Rates {
    /// Adds a point to the line of each of these plugins, and forgets all others.
    pub(super) fn sample(&self, plugins: &[Arc<Plugin>]) {
        let now = Utc::now();
        let mut lines = self.lines();
        let mut before = std::mem::take(&mut *lines);
        for plugin in plugins {
            let mut line = before.remove(plugin.name()).unwrap_or_default();
            line.add(plugin, now);
            lines.insert(plugin.name().clone(), line);
        }
    }

    /// The points of a plugin, the newest last.
    pub(super) fn of(&self, name: &str) -> Vec<RatePoint> {
        let lines = self.lines();
        let line = lines.get(name);
        line.map_or_else(Vec::new, |line| line.points.iter().copied().collect())
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<PluginName, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn add(&mut self, plugin: &Plugin, time: DateTime<Utc>) {
        let totals = plugin.totals();
        if totals.calls() < self.seen.calls() {
            // Another plugin has taken the name.
            self.seen = Totals::default();
        }
        let calls = totals.calls() - self.seen.calls();
        let latency = (calls > 0).then(|| plugin.latency_ms()).flatten();
        self.points.push_back(RatePoint {
            time,
            calls,
            errors: totals.errors.saturating_sub(self.seen.errors),
            p50_ms: latency.map(|it| it.p50),
            p99_ms: latency.map(|it| it.p99),
            in_flight: plugin.in_flight(),
        });
        self.seen = totals;
        if self.points.len() > KEPT {
            self.points.pop_front();
        }
    }
}

fn timestamp<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
