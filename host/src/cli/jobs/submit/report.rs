//! What is said of a submission while it goes on, and how it ends. Writes the journal.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::super::daemon::{DaemonError, one_line};
use super::super::super::exit::{Exit, Failure};
use super::super::bars::Bar;
use super::journal::{Entry, Journal};
use super::upload::Fate;
use super::{Plan, Submitted};
use crate::names::PluginName;
use crate::services::Refusal;

/// What has come of all pictures so far.
pub(super) struct Report<'a> {
    plan: &'a Plan,
    bar: &'a Bar,
    journal: Option<Journal>,
    jobs: Vec<Submitted>,
    failed: usize,
    no_pictures: usize,
    end: Option<Failure>,
}

impl<'a> Report<'a> {
    pub(super) fn new(plan: &'a Plan, bar: &'a Bar, journal: Option<Journal>) -> Self {
        Self {
            plan,
            bar,
            journal,
            jobs: Vec::new(),
            failed: 0,
            no_pictures: 0,
            end: None,
        }
    }

    /// Something was named that is not there.
    pub(super) fn missing(&mut self, problem: &str) {
        self.failed += 1;
        self.bar.note(&format!("bulkhead: {}", one_line(problem)));
    }

    /// Takes what came of some pictures; gives whether it makes sense to go on. No id is printed before the journal
    /// has it.
    pub(super) fn take(&mut self, batch: Vec<(PathBuf, Fate)>) -> bool {
        self.bar.advance(batch.len());
        let mut accepted = Vec::new();
        for (path, fate) in batch {
            match fate {
                Fate::Accepted(entry) => accepted.push((path, entry)),
                Fate::Before(job) => self.accepted(&path, job),
                Fate::NoPicture => self.no_pictures += 1,
                Fate::Unreadable(problem) => self.unreadable(&path, &problem),
                Fate::Refused(refused) => {
                    self.refused(&path, &refused.line, &refused.answer["error"])
                }
                Fate::Lost(error) => self.lost(error),
            }
        }
        self.note(accepted);
        self.bar.failed(self.failed);
        self.end.is_none()
    }

    fn note(&mut self, accepted: Vec<(PathBuf, Entry)>) {
        let (paths, entries): (Vec<_>, Vec<_>) = accepted.into_iter().unzip();
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.note(&entries)
        {
            // What is not written down is submitted again under the same keys, which makes no second jobs.
            let problem = format!("cannot write the journal: {error}");
            self.end
                .get_or_insert(Failure::new(Exit::Unavailable, problem));
        }
        for (path, entry) in paths.iter().zip(&entries) {
            self.accepted(path, entry.job);
        }
    }

    fn accepted(&mut self, path: &Path, job: Uuid) {
        let path = path.to_string_lossy().into_owned();
        if self.plan.json {
            let line = json!({ "event": "accepted", "path": path, "job": job });
            self.bar.line(&line.to_string());
        } else if self.plan.tells_ids {
            self.bar.line(&job.to_string());
        }
        self.jobs.push((job, path));
    }

    fn unreadable(&mut self, path: &Path, problem: &str) {
        let told = format!("cannot read `{}`: {problem}", path.display());
        let refusal = Refusal::malformed(told, PluginName::parse(&self.plan.plugin).ok());
        self.refused(path, problem, &json!(refusal.envelope.error));
    }

    fn refused(&mut self, path: &Path, line: &str, error: &Value) {
        self.failed += 1;
        if self.plan.json {
            let line =
                json!({ "event": "refused", "path": path.to_string_lossy(), "error": error });
            self.bar.line(&line.to_string());
        }
        let told = format!("{}: {line}", path.display());
        self.bar.note(&one_line(&told));
    }

    fn lost(&mut self, error: DaemonError) {
        let failure = || Failure::new(exit_of(&error), one_line(&error.to_string()));
        self.end.get_or_insert_with(failure);
    }

    /// How the submission of `total` files has ended, and the jobs that there are.
    pub(super) fn end(self, total: usize) -> Result<(Exit, Vec<Submitted>), Failure> {
        if self.no_pictures > 0 {
            let skipped = self.no_pictures;
            let note = format!("bulkhead: {skipped} files of folders are no pictures");
            self.bar.note(&note);
        }
        match self.end {
            Some(failure) => {
                let accepted = self.jobs.len();
                let resume = match (failure.exit() == Exit::Unavailable, self.plan.is_resumable) {
                    (false, _) => "",
                    (true, true) => "; give the same command again to go on",
                    (true, false) => {
                        "; with --journal FILE the command could have been given again to go on"
                    }
                };
                let so_far = format!("{accepted} of {total} pictures were accepted{resume}");
                Err(failure.with(&so_far))
            }
            None if self.failed > 0 => Ok((Exit::Failed, self.jobs)),
            None => Ok((Exit::Success, self.jobs)),
        }
    }
}

/// A daemon that is there and refuses for good is another matter than one that may come back.
fn exit_of(error: &DaemonError) -> Exit {
    match error {
        DaemonError::Refused(refused) if !refused.is_passing() => Exit::Failed,
        _ => Exit::Unavailable,
    }
}
