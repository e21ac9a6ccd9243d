//! `bulkhead jobs submit`: makes a job of each picture, and goes on where an earlier run was cut off.

mod find;
mod journal;
mod key;
mod picture;
mod report;
mod terms;
#[cfg(test)]
mod tests;
mod upload;

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use super::super::at::At;
use super::super::daemon::{Daemon, DaemonError};
use super::super::exit::{Exit, Failure};
use super::super::{plugin_name, print};
use super::bars::Bar;
use super::crew;
use super::patience::Patience;
use super::wait;
use crate::config::Span;
use find::{Found, Source};
use journal::{Accepted, Journal};
use key::Run;
use report::Report;
use terms::Terms;
use upload::Uploads;

/// Submit pictures, each as a job of its own, and print the jobs' ids
///
/// With --journal the command can be given again after it was cut off, however that was: pictures that the daemon
/// has accepted are not submitted a second time, as long as their files are what they were. Their ids are printed
/// again.
#[derive(Args)]
pub(super) struct Submit {
    #[command(flatten)]
    at: At,
    /// The plugin; `default` is the one that the daemon's configuration names
    #[arg(value_parser = plugin_name)]
    plugin: String,
    /// Pictures, patterns such as 'shots/**/*.png', and folders, whose pictures are taken; hidden files and those
    /// in further folders are not
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Take the pictures of folders in folders too
    #[arg(long, short)]
    recursive: bool,
    #[command(flatten)]
    terms: Terms,
    /// Write down in this file what was accepted; where it is there already, go on from there
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    journal: Option<PathBuf>,
    /// Make the same jobs of the same pictures, plugin and options whenever the command is given, for as long as
    /// the daemon keeps the jobs
    #[arg(long)]
    once: bool,
    /// Wait until all have ended, and print their results
    #[arg(long)]
    wait: bool,
    /// How many pictures are sent at a time
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// How long a daemon that is away or has no room is tried again
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    patience: Span,
}

/// A job, and the picture that it is of.
type Submitted = (Uuid, String);

impl Submit {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let found = find::find(&self.paths, self.recursive);
        let (journal, run, accepted) = self.run_of()?;
        let json = self.at.json;
        let plan = Plan {
            query: self.terms.query(&self.plugin),
            mime_type: self.terms.mime_type,
            plugin: self.plugin,
            run,
            accepted,
            hands: usize::from(self.concurrency),
            patience: self.patience,
            is_resumable: journal.is_some() || self.once,
            tells_ids: !self.wait || json,
            json,
        };
        let daemon = self.at.daemon()?;
        plan.check_journal(&daemon)?;
        let (mut exit, jobs) = plan.submit(&daemon, found, journal)?;
        if self.wait {
            let ends = wait::Command {
                daemon: &daemon,
                jobs: &jobs,
                timeout: None,
                patience: plan.patience.duration(),
                hands: plan.hands,
            };
            let shown = if json {
                wait::Shown::Json
            } else {
                wait::Shown::Results
            };
            let waited = ends.run(shown)?;
            exit = if exit == Exit::Success { waited } else { exit };
        }
        Ok(exit)
    }

    /// The run that this is, the journal of it, and what was accepted before.
    fn run_of(&self) -> Result<(Option<Journal>, Run, Accepted), Failure> {
        let options = self.terms.options();
        let Some(path) = &self.journal else {
            let run = match self.once {
                true => Run::once(&self.plugin, options),
                false => Run::named(Uuid::new_v4(), &self.plugin, options),
            };
            return Ok((None, run, Accepted::new()));
        };
        let opened = Journal::open(path);
        let (journal, accepted) = opened.map_err(|error| Failure::new(Exit::Usage, error))?;
        let run = Run::named(journal.run, &self.plugin, options);
        Ok((Some(journal), run, accepted))
    }
}

/// The status of what is not there.
const NOT_FOUND: u16 = 404;

/// What is to be submitted, and how.
struct Plan {
    query: Vec<(&'static str, String)>,
    mime_type: Option<String>,
    plugin: String,
    run: Run,
    accepted: Accepted,
    hands: usize,
    patience: Span,
    is_resumable: bool,
    tells_ids: bool,
    json: bool,
}

impl Plan {
    /// A journal is of one daemon: another one does not know what stands in it. One that is away now may come back.
    fn check_journal(&self, daemon: &Daemon) -> Result<(), Failure> {
        let Some(job) = self.accepted.values().next() else {
            return Ok(());
        };
        match daemon.find(&format!("/v1/jobs/{job}"), &[]) {
            Err(DaemonError::Refused(refused)) if refused.status == NOT_FOUND => {
                let problem = format!(
                    "the daemon does not know job {job} of the journal: it is another daemon, or has lost its state; \
                     take another journal to submit anew"
                );
                Err(Failure::new(Exit::Usage, problem))
            }
            _ => Ok(()),
        }
    }

    /// Submits all, and gives how that ended and the jobs that there are now.
    fn submit(
        &self,
        daemon: &Daemon,
        found: Found,
        journal: Option<Journal>,
    ) -> Result<(Exit, Vec<Submitted>), Failure> {
        let bar = Bar::new(found.sources.len(), "submitted");
        let patience = Patience::new(self.patience.duration(), &bar);
        let uploads = Uploads {
            daemon,
            patience: &patience,
            run: &self.run,
            accepted: &self.accepted,
            query: self.query.clone(),
            mime_type: self.mime_type.as_deref(),
        };
        let mut report = Report::new(self, &bar, journal);
        found.problems.iter().for_each(|it| report.missing(it));
        let work = |source: &Source, stop: &crew::Stop| {
            let fate = uploads.submit(source, stop)?;
            Some((source.path.clone(), fate))
        };
        crew::share(&found.sources, self.hands, work, |batch| {
            match report.take(batch) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        let total = found.sources.len();
        let ended = report.end(total);
        drop(bar);
        if total == 0 && found.problems.is_empty() {
            print::error("bulkhead: there are no pictures");
        }
        ended
    }
}
