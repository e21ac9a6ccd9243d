//! The one thread that writes: it takes all that waits, commits it at once, and answers only then.
//! Knows no job.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;
use fail::fail_point;
use rusqlite::Connection;
use tokio::sync::watch;
use tracing::{error, warn};

use super::command::{Command, Step};
use super::session::{Done, Failure, Session};
use super::verdict::{self, Verdict};
use crate::jobs::store::StoreError;

/// As many commands are committed at once at most.
const GROUP: usize = 512;
/// A log of more pages than this is brought into the database itself.
const CHECKPOINT: i64 = 2_000;

/// What the thread owns.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) folder: PathBuf,
    pub(super) inbox: Receiver<Box<dyn Command>>,
    pub(super) failed: watch::Sender<Option<String>>,
    pub(super) commits: Arc<AtomicU64>,
}

type Group = Vec<Box<dyn Command>>;

impl Writer {
    /// Works until nobody can ask any more, or the store is broken.
    pub(super) fn run(self) {
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        let reason = match worked {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(reason),
            Err(_) => Some("its writer has panicked".to_owned()),
        };
        if let Some(reason) = reason {
            error!(%reason, "the job store can be trusted no more");
            // Whoever still waits hears of it: their commands end with the inbox.
            self.failed.send_replace(Some(reason));
        }
    }

    fn work(&self) -> Result<(), String> {
        let session = Session::new(&self.connection);
        while let Ok(first) = self.inbox.recv() {
            let mut group = vec![first];
            group.extend(self.inbox.try_iter().take(GROUP - 1));
            self.handle(&session, group)?;
            self.checkpoint_if_long(&session)?;
        }
        // Closing brings the log into the database as well; here an error is still heard of.
        self.checkpoint(&session, "PRAGMA wal_checkpoint(TRUNCATE)")
    }

    fn handle(&self, session: &Session<'_>, mut group: Group) -> Result<(), String> {
        let mut verdict = self.attempt(session, &mut group);
        if let Err(Verdict::Full(_)) = verdict {
            // The log may hold room that the database does not need.
            self.checkpoint(session, "PRAGMA wal_checkpoint(TRUNCATE)")?;
            verdict = self.attempt(session, &mut group);
        }
        let error = match verdict {
            Ok(()) => None,
            Err(Verdict::Full(reason)) => Some(StoreError::Full(reason)),
            Err(Verdict::Passing(error) | Verdict::Its(error)) => Some(error),
            Err(Verdict::Broken(reason)) => return Err(reason),
        };
        if let Some(error) = error {
            warn!(%error, commands = group.len(), "nothing of a group was stored");
            group.iter_mut().for_each(|one| one.refuse(error.clone()));
        }
        group.into_iter().for_each(Command::answer);
        Ok(())
    }

    /// One group in one transaction. If a command fails for its own reasons, all are done anew, each so that it can
    /// be undone by itself: that is dearer, and seldom.
    fn attempt(&self, session: &Session<'_>, group: &mut Group) -> Result<(), Verdict> {
        let done = self.transact(session, group, |one, session| one.run(session));
        match done.map_err(|failure| self.judge(session, failure)) {
            Err(Verdict::Its(_)) => {
                let done = self.transact(session, group, |one, session| self.one(one, session));
                done.map_err(|failure| self.judge(session, failure))
            }
            other => other,
        }
    }

    fn transact(
        &self,
        session: &Session<'_>,
        group: &mut Group,
        run: impl Fn(&mut dyn Command, &Session<'_>) -> Done<()>,
    ) -> Done<()> {
        session.execute("BEGIN IMMEDIATE", ())?;
        group
            .iter_mut()
            .try_for_each(|one| run(one.as_mut(), session))?;
        let steps: Vec<_> = group.iter().map(|command| command.step()).collect();
        if acks_early() {
            group.drain(..).for_each(Command::answer);
        }
        before_commit(&steps);
        self.commit(session)?;
        after_commit(&steps);
        Ok(())
    }

    fn one(&self, command: &mut dyn Command, session: &Session<'_>) -> Done<()> {
        session.execute("SAVEPOINT one", ())?;
        if let Err(failure) = command.run(session) {
            let Verdict::Its(error) = verdict::of(&failure, &self.folder) else {
                return Err(failure);
            };
            session.execute("ROLLBACK TO one", ())?;
            command.refuse(error);
        }
        session.execute("RELEASE one", ())?;
        Ok(())
    }

    fn commit(&self, session: &Session<'_>) -> Done<()> {
        if commit_fails() {
            return Err(Failure::Sql(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC),
                None,
            )));
        }
        session.execute("COMMIT", ())?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What a failure means, once its transaction is undone.
    fn judge(&self, session: &Session<'_>, failure: Failure) -> Verdict {
        let verdict = verdict::of(&failure, &self.folder);
        match session.roll_back() {
            Ok(()) => verdict,
            Err(failure) => Verdict::Broken(format!("it cannot undo: {failure:?}")),
        }
    }

    fn checkpoint_if_long(&self, session: &Session<'_>) -> Result<(), String> {
        let pages = session.first("PRAGMA wal_checkpoint(NOOP)", (), |row| Ok(row.get(1)?));
        match pages {
            Ok(Some(pages)) if CHECKPOINT < pages => {
                self.checkpoint(session, "PRAGMA wal_checkpoint(PASSIVE)")
            }
            Ok(_) => Ok(()),
            Err(failure) => self.tolerate(failure),
        }
    }

    // SQLite's own checkpoints hide their errors, even those of fsync: so there are none but these.
    fn checkpoint(&self, session: &Session<'_>, sql: &'static str) -> Result<(), String> {
        match session.all(sql, (), |_| Ok(())) {
            Ok(_) => Ok(()),
            Err(failure) => self.tolerate(failure),
        }
    }

    fn tolerate(&self, failure: Failure) -> Result<(), String> {
        match verdict::of(&failure, &self.folder) {
            Verdict::Broken(reason) => Err(reason),
            // The log is as good as the database, only longer.
            Verdict::Its(error) | Verdict::Passing(error) => {
                warn!(%error, "the log of the job store stays as it is for now");
                Ok(())
            }
            Verdict::Full(_) => Ok(()),
        }
    }
}

/// The control of tests that end the host: with it they must find a job lost.
fn acks_early() -> bool {
    fail_point!("store.ack_early", |_| true);
    false
}

fn commit_fails() -> bool {
    fail_point!("store.commit_fails", |_| true);
    false
}

fn before_commit(steps: &[Step]) {
    fail_point!("store.before_commit");
    if steps.contains(&Step::Add) {
        fail_point!("store.add.before_commit");
    }
    if steps.contains(&Step::Claim) {
        fail_point!("store.claim.before_commit");
    }
    if steps.contains(&Step::Finish) {
        fail_point!("store.finish.before_commit");
    }
}

fn after_commit(steps: &[Step]) {
    fail_point!("store.after_commit");
    if steps.contains(&Step::Add) {
        fail_point!("store.add.after_commit");
    }
    if steps.contains(&Step::Claim) {
        fail_point!("store.claim.after_commit");
    }
    if steps.contains(&Step::Finish) {
        fail_point!("store.finish.after_commit");
    }
}
