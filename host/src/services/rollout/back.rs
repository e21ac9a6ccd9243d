//! The way back: what is new and crashes again and again, or cannot be opened, gives way to the last good build; so does
//! what an operator does not want.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::warn;

use super::Reply;
use super::candidate::Purpose;
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
                self.unfit.push((self.stable.clone(), refused));
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
        stable.since().is_some() && !self.history.has_proven(self.stable.staged.digest)
    }

    /// The build that serves is new until then, unless it has proven itself before.
    pub(super) fn wait_for_proof(&mut self) {
        let is_known = self.history.has_proven(self.stable.staged.digest);
        self.prove_at = (!is_known).then(|| Instant::now() + NEW_FOR);
    }

    /// Its time is over: a build that calls went well in has proven itself, another goes on being new.
    pub(super) fn prove(&mut self) {
        let stable = self.plugin.stable();
        let served = stable.is_some_and(|it| it.totals().successes > 0 && it.exhausted().is_none());
        if served {
            self.history.prove(self.stable.staged.digest);
            self.note_kept();
        }
        self.wait_for_proof();
    }

    /// Whether the last good build is on its way.
    pub(super) fn is_going_back(&self) -> bool {
        let purpose = self.candidate.as_ref().map(|candidate| &candidate.purpose);
        self.search.is_some() || matches!(purpose, Some(Purpose::Rollback { .. }))
    }

    /// An operator wants the build again that gives way just now.
    pub(super) fn pardon_what_is_on_its_way_out(&mut self) {
        let searched = self.search.as_mut().map(|search| &mut search.purpose);
        let opened = self
            .candidate
            .as_mut()
            .map(|candidate| &mut candidate.purpose);
        for purpose in searched.into_iter().chain(opened) {
            if let Purpose::Rollback { for_good, .. } = purpose {
                *for_good = false;
            }
        }
    }

    pub(super) fn roll_back_for(&mut self, reply: Reply) {
        self.rollbacks.push(reply);
        let why = "an operator asked for it";
        if self.trial.is_some() {
            self.refuse_canary(why);
            self.answer_rollbacks(Ok(()));
            return self.consider();
        }
        let bad = self.stable.staged.digest;
        if let Err(error) = self.begin_rollback(bad, why.to_owned(), true) {
            self.answer_rollbacks(Err(error));
        }
    }

    /// Sets the last good build on its way, in place of whatever else is.
    pub(super) fn begin_rollback(
        &mut self,
        bad: Digest,
        why: String,
        for_good: bool,
    ) -> Result<(), CallError> {
        if self.is_going_back() {
            return Ok(());
        }
        let good = self.history.good();
        let good = good.filter_map(|build| Some((build.digest()?, build.file.clone())));
        let good: Vec<_> = good.filter(|(digest, _)| *digest != bad).collect();
        if good.is_empty() {
            return Err(self.no_earlier());
        }
        self.drop_candidate();
        self.end_trial("what it was compared with gives way itself");
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
            self.answer_rollbacks(Err(error));
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
