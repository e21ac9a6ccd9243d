//! Threads that read, each on its own connection: a long look delays no commit. Knows no job.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crossbeam_channel::Receiver;
use rusqlite::Connection;

use super::command::Command;
use super::session::{Failure, Session};
use super::verdict::{self, Verdict};
use crate::jobs::store::StoreError;

/// What one of the threads owns.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) folder: PathBuf,
    pub(super) inbox: Receiver<Box<dyn Command>>,
}

impl Reader {
    /// Works until nobody can ask any more.
    pub(super) fn run(self) {
        let session = Session::new(&self.connection);
        for mut command in &self.inbox {
            // Who asked hears of a panic by having no answer; the others are not to wait for ever.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let done = command.run(&session);
                if let Err(error) = done.map_err(|failure| self.error(&failure)) {
                    command.refuse(error);
                }
                command.answer();
            }));
            // What cannot be undone fails the next look as well, and says so there.
            let _ = session.roll_back();
        }
    }

    // A reader's trouble is its own: only the writer says that the store is broken.
    fn error(&self, failure: &Failure) -> StoreError {
        match verdict::of(failure, &self.folder) {
            Verdict::Its(error) | Verdict::Passing(error) => error,
            Verdict::Full(reason) => StoreError::Full(reason),
            Verdict::Broken(reason) => StoreError::Corrupt(reason),
        }
    }
}
