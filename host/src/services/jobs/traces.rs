//! Which traces the runs of jobs are parts of. Knows no job but its id.
//!
//! The trace of the request that has submitted a job is kept in memory until the job is over. A job that another host
//! runs, or this one after it was started anew, begins a trace of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::held::HeldJob;
use crate::error::Code;
use crate::trace::{Facts, OpenSpan, SpanKind, Trace, Tracer};

/// The most jobs whose traces are kept. Ids go by the time of submission: the oldest are forgotten first.
const MOST: usize = 10_000;

/// The traces of jobs that wait or run.
pub(super) struct JobTraces {
    tracer: Tracer,
    kept: Mutex<BTreeMap<Uuid, Trace>>,
}

impl JobTraces {
    /// What has no trace of its own begins one with `tracer`.
    pub(super) fn new(tracer: Tracer) -> Self {
        Self {
            tracer,
            kept: Mutex::default(),
        }
    }

    /// Notes that jobs were submitted by a request that this is the trace of.
    pub(super) fn note(&self, jobs: impl Iterator<Item = Uuid>, trace: &Option<Trace>) {
        let Some(trace) = trace else { return };
        let mut kept = self.lock();
        kept.extend(jobs.map(|job| (job, trace.clone())));
        while kept.len() > MOST {
            kept.pop_first();
        }
    }

    /// Begins the span of an attempt.
    pub(super) fn begin(&self, job: Uuid) -> Option<AttemptSpan> {
        let known = self.lock().get(&job).cloned();
        let trace = known.or_else(|| self.tracer.begin(None))?;
        Some(AttemptSpan(trace.open(SpanKind::Internal)))
    }

    /// Forgets a job that is over.
    pub(super) fn forget(&self, job: Uuid) {
        self.lock().remove(&job);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Trace>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The span of an attempt, from the search for its image to what came of it.
pub(super) struct AttemptSpan(OpenSpan);

impl AttemptSpan {
    /// The trace for the call that it makes.
    pub(super) fn within(&self) -> Trace {
        self.0.within()
    }

    /// It is over; with this error, if it has failed.
    pub(super) fn end(self, held: &HeldJob, error: Option<Code>) {
        let record = &held.record;
        let error = error.map(|code| code.as_str());
        let facts = Facts::default()
            .with("bulkhead.plugin", &record.plugin)
            .with("bulkhead.generation", held.generation().unwrap_or_default())
            .with("bulkhead.job", record.id)
            .with("bulkhead.request", &record.request_id)
            .with("bulkhead.attempt", record.attempt)
            .with("bulkhead.outcome", error.unwrap_or("success"));
        self.0.end("job", facts.error(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::TraceParent;

    #[test]
    fn no_more_traces_are_kept_than_may_be() {
        let said = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Tracer::default().begin(TraceParent::parse(said));
        let traces = JobTraces::new(Tracer::default());
        let ids: Vec<_> = (0..=MOST as u128).map(Uuid::from_u128).collect();
        traces.note(ids.iter().copied(), &trace);
        assert!(traces.begin(ids[0]).is_none(), "the oldest is forgotten");
        assert!(traces.begin(ids[1]).is_some());
        traces.forget(ids[1]);
        assert!(traces.begin(ids[1]).is_none());
        traces.note([ids[1]].into_iter(), &None);
        assert!(traces.begin(ids[1]).is_none(), "there was none");
    }
}
