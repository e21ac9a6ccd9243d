//! The way back: what is new and crashes again and again, or cannot be opened, gives way to the last good build; so does
//! what an operator does not want.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::warn;

use super::Reply;
use super::candidate::{Candidate, Purpose};
use super::task::Rollout;
use super::wish::Wish;
use crate::error::CallError;
use crate::loader::{Refused, Staged, StagingArea};
use crate::names::Digest;
use crate::registry::Generation;

/// For how long a build is new: one that crashes again and again in that time gives way to the one before.
const NEW_FOR: Duration = Duration::from_secs(600);

/// A search for the last good build.
pub(super) struct Search {
    purpose: Purpose,
    pub(super) work: BoxFuture<'static, Found>,
}

/// What a search has found.
#[derive(Default)]
pub(super) struct Found {
    staged: Option<Arc<Staged>>,
    /// Builds whose copies are not to be had, and why.
    gone: Vec<(Digest, Refused)>,
}

impl Rollout {
    /// Something has become known of what serves: what is new and ill gives way.
    pub(super) fn look_at_stable(&mut self) {
        if let Some(trial) = &self.trial
            && trial.canary.exhausted().is_some()
        {
            return self.refuse_canary(&self.crash_loop());
        }
        let Some(stable) = self.plugin.stable() else {
            return;
        };
        let bad = self.stable.staged.digest;
        let opened = stable.serving_now().is_some();
        match stable.exhausted() {
            None if opened && !self.history.knows(bad) => {
                self.history.serve(&self.stable.staged);
                self.note_kept();
            }
            // Where there is none to go back to, it stays as it is.
            Some(_) if opened && self.is_new(&stable) => {
                let _ = self.begin_rollback(bad, self.crash_loop(), true);
            }
            Some(refused) if !opened => {
                let why = refused.reason.clone();
                self.unfit = Some((self.stable.clone(), refused));
                let _ = self.begin_rollback(bad, why, false);
            }
            None | Some(_) => {}
        }
    }

    fn crash_loop(&self) -> String {
        let last = self.ears.last_crash.load_full().unwrap_or_default();
        format!("it crashed again and again, at last: {last}")
    }

    fn is_new(&self, stable: &Generation) -> bool {
        let age = stable.since().map(|since| since.elapsed());
        age.is_some_and(|age| age < NEW_FOR) && !self.history.has_proven(self.stable.staged.digest)
    }

    pub(super) fn proven_at(&self) -> Option<Instant> {
        let since = self.plugin.stable()?.since()?;
        let is_known = self.history.has_proven(self.stable.staged.digest);
        (!is_known).then_some(since + NEW_FOR)
    }

    pub(super) fn prove(&mut self) {
        self.history.prove(self.stable.staged.digest);
        self.note_kept();
    }

    pub(super) fn roll_back_for(&mut self, reply: Reply) {
        self.asked.push(reply);
        let why = "an operator asked for it";
        if self.trial.is_some() {
            self.refuse_canary(why);
            return self.answer(Ok(()));
        }
        let bad = self.stable.staged.digest;
        if let Err(error) = self.begin_rollback(bad, why.to_owned(), true) {
            self.answer(Err(error));
        }
    }

    /// Sets the last good build on its way, in place of whatever else is.
    pub(super) fn begin_rollback(
        &mut self,
        bad: Digest,
        why: String,
        for_good: bool,
    ) -> Result<(), CallError> {
        let under_way = |it: &Candidate| matches!(it.purpose, Purpose::Rollback { .. });
        if self.search.is_some() || self.candidate.as_ref().is_some_and(under_way) {
            return Ok(());
        }
        let good = self.history.good();
        let good = good.filter_map(|build| Some((build.digest()?, build.file.clone())));
        let good: Vec<_> = good.filter(|(digest, _)| *digest != bad).collect();
        if good.is_empty() {
            return Err(self.no_earlier());
        }
        self.drop_candidate();
        let area = Arc::clone(&self.common.host.area);
        let search = tokio::task::spawn_blocking(move || search(&area, good));
        let purpose = Purpose::Rollback { bad, why, for_good };
        let work = search.map(Result::unwrap_or_default).boxed();
        self.search = Some(Search { purpose, work });
        Ok(())
    }

    /// The last good build was found, or there is none.
    pub(super) fn found(&mut self, found: Found) {
        let Some(Search { purpose, .. }) = self.search.take() else {
            return;
        };
        for (gone, refused) in found.gone {
            let plugin = self.plugin.name().as_str();
            warn!(plugin, reason = %refused, "an earlier build is not to be had");
            self.history.take(gone);
        }
        let Some(staged) = found.staged else {
            let error = self.no_earlier();
            self.answer(Err(error));
            return self.consider();
        };
        let config = self.wishes.borrow().config.clone();
        self.begin(Wish { staged, config }, purpose, Duration::ZERO);
    }

    fn no_earlier(&self) -> CallError {
        CallError::unavailable(format!(
            "no_earlier_generation: no earlier good build of `{}` is kept; put one into the plugins folder",
            self.plugin.name()
        ))
    }
}

/// The latest of these builds whose copy is there; blocks on the disk.
fn search(area: &StagingArea, good: Vec<(Digest, String)>) -> Found {
    let mut found = Found::default();
    for (digest, file) in good {
        match area.restage(digest, &file) {
            Ok(staged) => {
                found.staged = Some(Arc::new(staged));
                break;
            }
            Err(refused) => found.gone.push((digest, refused)),
        }
    }
    found
}
