//! `bulkhead jobs wait`: until jobs have ended, or no longer. Also what `submit --wait` does in its second half.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::at::At;
use super::super::daemon::{Daemon, DaemonError, one_line};
use super::super::exit::{Exit, Failure};
use super::super::print;
use super::bars::Bar;
use super::crew::{self, Stop};
use super::ids::Ids;
use super::patience::Patience;
use super::{route, tell};
use crate::config::Span;
use crate::jobs::Status;

/// How long a daemon is asked to wait with its answer, at most.
const LONGEST: Duration = Duration::from_secs(30);
/// The least time between two looks at a job.
const SHORTEST: Duration = Duration::from_millis(100);
/// How many jobs are waited for at a time.
const HANDS: usize = 8;

/// Wait until jobs have ended
///
/// Ends with 0 when all ended in SUCCESS, with 1 when one did not or is not there, and with 75 when one had not ended
/// within --timeout: it goes on all the same.
#[derive(Args)]
pub(super) struct Wait {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    ids: Ids,
    /// How long to wait, such as 10m [default: for as long as it takes]
    #[arg(long, value_name = "SPAN")]
    timeout: Option<Span>,
    /// How long a daemon that is away is tried again
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    patience: Span,
}

impl Wait {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let ids = self.ids.read()?;
        let shown = match self.at.json {
            true => Shown::Records,
            false => Shown::Lines,
        };
        let jobs: Vec<_> = ids.iter().map(|id| (*id, id.to_string())).collect();
        let command = Command {
            daemon: &self.at.daemon()?,
            jobs: &jobs,
            timeout: self.timeout.map(Span::duration),
            patience: self.patience.duration(),
            hands: HANDS,
        };
        command.run(shown)
    }
}

/// What is printed of jobs that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Their ids and statuses.
    Lines,
    /// Their records, one a line.
    Records,
    /// Their records with what was submitted, one a line.
    Json,
    /// Their results, as `analyze` shows them.
    Results,
}

/// Jobs to wait for, each with its name for people.
pub(super) struct Command<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) jobs: &'a [(Uuid, String)],
    pub(super) timeout: Option<Duration>,
    pub(super) patience: Duration,
    pub(super) hands: usize,
}

/// How waiting for one job has ended.
enum End {
    Ended(Value),
    Late,
    Failed(DaemonError),
}

#[derive(Default)]
struct Tally {
    ended: usize,
    failed: usize,
    late: usize,
    lost: Option<DaemonError>,
}

impl Command<'_> {
    /// Waits for all, and prints each as it ends.
    pub(super) fn run(&self, shown: Shown) -> Result<Exit, Failure> {
        let bar = Bar::new(self.jobs.len(), "ended");
        let patience = Patience::new(self.patience, &bar);
        // An end that no clock reaches is none.
        let until = self.timeout.and_then(|it| Instant::now().checked_add(it));
        let mut tally = Tally::default();
        let work = |job: &(Uuid, String), stop: &Stop| {
            let end = self.end_of(job.0, until, stop, &patience, &bar)?;
            let end = self.whole(end, shown, stop, &patience)?;
            Some((job.1.clone(), end))
        };
        crew::share(self.jobs, self.hands, work, |batch| {
            for (name, end) in batch {
                self.told(&name, end, shown, &bar, &mut tally);
            }
            bar.failed(tally.failed);
            match tally.lost {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        });
        drop(bar);
        self.exit(tally)
    }

    fn exit(&self, tally: Tally) -> Result<Exit, Failure> {
        let total = self.jobs.len();
        if let Some(error) = tally.lost {
            let so_far = format!(
                "{} of {total} jobs had ended; the others go on",
                tally.ended
            );
            let error = one_line(&error.to_string());
            return Err(Failure::new(Exit::Unavailable, error).with(&so_far));
        }
        if tally.late > 0 {
            let late = tally.late;
            let problem = format!("{late} of {total} jobs had not ended in time: they go on");
            return Err(Failure::new(Exit::Late, problem));
        }
        match tally.failed {
            0 => Ok(Exit::Success),
            _ => Ok(Exit::Failed),
        }
    }

    /// Waits for one job; `None` when the work is to end before it does.
    fn end_of(
        &self,
        id: Uuid,
        until: Option<Instant>,
        stop: &Stop,
        patience: &Patience,
        bar: &Bar,
    ) -> Option<End> {
        let mut asked = None;
        loop {
            let begun = Instant::now();
            let left = until.map(|until| until.saturating_duration_since(begun));
            // The first look is free: it may have ended long ago.
            if asked.is_some() && left == Some(Duration::ZERO) {
                return Some(End::Late);
            }
            let wait = bar.pace(LONGEST).min(left.unwrap_or(LONGEST));
            let path = format!("{}?wait={:.3}", route(id), wait.as_secs_f64());
            let record = match patience.persist(stop, || self.daemon.get(&path))? {
                Ok(record) => record,
                Err(error) => return Some(End::Failed(error)),
            };
            match status(&record) {
                None => {
                    let stranger = self.daemon.stranger("it answered in a form of its own");
                    return Some(End::Failed(stranger));
                }
                Some(status) if status.is_final() => return Some(End::Ended(record)),
                Some(_) => {}
            }
            if let (1, Some(share)) = (self.jobs.len(), record["progress"].as_f64()) {
                bar.share(share);
            }
            // A daemon that does not wait, as it is about to end, is not asked all the time.
            let rest = SHORTEST.min(wait).saturating_sub(begun.elapsed());
            if stop.sleep(rest) {
                return None;
            }
            asked = Some(begun);
        }
    }

    /// Fetches a result that is too long for its record, where it is to be shown.
    fn whole(&self, end: End, shown: Shown, stop: &Stop, patience: &Patience) -> Option<End> {
        let End::Ended(mut record) = end else {
            return Some(end);
        };
        let is_apart = record["result"].is_null() && status(&record) == Some(Status::Success);
        if shown != Shown::Results || !is_apart {
            return Some(End::Ended(record));
        }
        let id = record["id"].as_str().unwrap_or_default();
        let path = Uuid::parse_str(id).map(|id| format!("{}/result", route(id)));
        let path = path.unwrap_or_default();
        Some(match patience.persist(stop, || self.daemon.get(&path))? {
            Ok(result) => {
                record["result"] = result;
                End::Ended(record)
            }
            Err(error) => End::Failed(error),
        })
    }

    fn told(&self, name: &str, end: End, shown: Shown, bar: &Bar, tally: &mut Tally) {
        match end {
            End::Ended(record) => {
                bar.advance(1);
                tally.ended += 1;
                tally.failed += usize::from(status(&record) != Some(Status::Success));
                self.show(name, &record, shown, bar);
            }
            End::Late => tally.late += 1,
            End::Failed(DaemonError::Refused(refused)) if !refused.is_passing() => {
                bar.advance(1);
                tally.failed += 1;
                bar.note(&one_line(&format!("{name}: {}", refused.line)));
            }
            End::Failed(error) => {
                tally.lost.get_or_insert(error);
            }
        }
    }

    fn show(&self, name: &str, record: &Value, shown: Shown, bar: &Bar) {
        match shown {
            Shown::Records => return bar.line(&record.to_string()),
            Shown::Json => {
                let line = json!({ "event": "ended", "path": name, "job": record });
                return bar.line(&line.to_string());
            }
            Shown::Lines => bar.line(&tell::line(record)),
            Shown::Results => {}
        }
        if let Some(failure) = tell::failure(record) {
            return bar.note(&format!("{}: {failure}", one_line(name)));
        }
        if shown == Shown::Results {
            if self.jobs.len() > 1 && print::to_people() {
                bar.line(&format!("{}:", one_line(name)));
            }
            bar.line(&format!("{:#}", record["result"]));
        }
    }
}

fn status(record: &Value) -> Option<Status> {
    record["status"].as_str().and_then(Status::parse)
}
