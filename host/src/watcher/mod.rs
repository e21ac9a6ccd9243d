//! Tells which files a folder holds, once they are whole: not while somebody writes to them, and not for the moment
//! between a removal and a replacement. Knows files and names, no plugins, and never reads a file.
//!
//! In reading order: `task` looks when there is reason to, `events` are the reasons that the system gives, `look` is
//! one look, `settle` decides what counts.

mod events;
mod look;
mod settle;
mod task;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::platform::Fingerprint;

pub use task::WatchTask;

/// Whether a name is one of those that are watched; files of other names are neither opened nor looked at.
pub type IsCandidate = fn(&OsStr) -> bool;

/// A folder as it counts: what is half written is as it was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderView {
    /// Why the folder cannot be seen now; the files are those that were seen last.
    pub problem: Option<FolderProblem>,
    /// Its candidates by their names, of any kind: folders, pipes and links that lead nowhere too.
    pub files: BTreeMap<OsString, Seen>,
}

/// A file as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it is: the folder, as it was given, and its name.
    pub path: PathBuf,
    /// Its state, and where it is a link that leads somewhere, the state of what it leads to. Nothing where the system
    /// does not tell.
    pub fingerprint: Option<Fingerprint>,
}

/// The folder itself cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FolderProblem {
    /// There is none.
    #[error("the folder `{}` does not exist; make it, and its files are picked up", folder.display())]
    Missing {
        /// As it was given.
        folder: PathBuf,
    },
    /// It cannot be listed, or its files cannot be reached.
    #[error("the folder `{}` cannot be read: {reason}; let this user list and enter it", folder.display())]
    Unreadable {
        /// As it was given.
        folder: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// How patient a watcher is.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// How long a file must have stood still to count.
    pub settle: Duration,
    /// The longest time from one look to the next, for changes that no event announces.
    pub rescan: Duration,
}

/// A folder that is watched, as long as there are handles. They all belong to one [`WatchTask`].
#[derive(Clone, Debug)]
pub struct Watcher {
    inbox: mpsc::Sender<Message>,
    views: watch::Receiver<Arc<FolderView>>,
}

/// What a handle asks of the task.
#[derive(Debug)]
enum Message {
    /// Look now, and say when nothing is about to change any more.
    Rescan(oneshot::Sender<()>),
}

/// One look at `folder`, at which everything counts as it is: for the start, when there is nothing older to keep.
/// Blocks on the disk.
pub fn look(folder: &Path, is_candidate: IsCandidate) -> FolderView {
    match look::files(folder, is_candidate) {
        Ok(files) => FolderView {
            problem: None,
            files: seen(folder, files),
        },
        Err(problem) => FolderView {
            problem: Some(problem),
            files: BTreeMap::new(),
        },
    }
}

impl Watcher {
    /// A watcher that goes on from `first`, whose problem it takes for told. Nothing happens before the task runs.
    pub fn new(
        folder: PathBuf,
        is_candidate: IsCandidate,
        settings: WatchSettings,
        first: FolderView,
    ) -> (Self, WatchTask) {
        let (sender, inbox) = mpsc::channel(16);
        let (publish, views) = watch::channel(Arc::new(first));
        let task = WatchTask::new(folder, is_candidate, settings, inbox, publish);
        let inbox = sender;
        (Self { inbox, views }, task)
    }

    /// The view as it is, and each that follows. One that is not looked at in time gives way to the next.
    pub fn views(&self) -> watch::Receiver<Arc<FolderView>> {
        self.views.clone()
    }

    /// Looks now, and returns when the view holds what was found: when nothing settles any more, or after a few
    /// settle times and the time that a removal takes. Returns at once when the task has ended.
    pub async fn rescan(&self) {
        let (done, is_done) = oneshot::channel();
        if self.inbox.send(Message::Rescan(done)).await.is_ok() {
            // An error means that the task has ended meanwhile.
            let _ = is_done.await;
        }
    }
}

impl FolderProblem {
    fn of(folder: &Path, error: &io::Error) -> Self {
        let folder = folder.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { folder },
            _ => Self::Unreadable {
                folder,
                reason: error.to_string(),
            },
        }
    }
}

fn seen(
    folder: &Path,
    files: impl IntoIterator<Item = (OsString, look::State)>,
) -> BTreeMap<OsString, Seen> {
    let seen = |(name, fingerprint)| {
        let path = folder.join(&name);
        (name, Seen { path, fingerprint })
    };
    files.into_iter().map(seen).collect()
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
