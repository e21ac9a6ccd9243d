//! A folder that is watched, and what it takes to wait for what is seen in it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::inotify;
use rustix::io::Errno;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::platform::Fingerprint;
use crate::watcher::{FolderProblem, FolderView, Seen, WatchSettings, Watcher, look};

/// Far more than anything here takes.
pub(super) const GENEROUS: Duration = Duration::from_secs(30);

/// What finds changes.
pub(super) const BY_EVENTS: WatchSettings = WatchSettings {
    settle: Duration::from_millis(50),
    rescan: Duration::from_secs(3600),
};
pub(super) const BY_RESCAN: WatchSettings = WatchSettings {
    rescan: Duration::from_millis(50),
    ..BY_EVENTS
};

pub(super) fn ends_in_so(name: &OsStr) -> bool {
    let name = name.to_str().unwrap_or_default();
    name.ends_with(".so") && !name.starts_with('.')
}

/// A folder `watched` that is watched, in a folder of its own.
pub(super) struct Fixture {
    pub(super) root: TempDir,
    pub(super) watcher: Watcher,
    pub(super) views: watch::Receiver<Arc<FolderView>>,
    /// All views that there were.
    pub(super) history: Arc<Mutex<Vec<Arc<FolderView>>>>,
    pub(super) task: JoinHandle<()>,
}

impl Fixture {
    pub(super) fn new(settings: WatchSettings) -> Self {
        Self::with(settings, |_| {})
    }

    pub(super) fn with(settings: WatchSettings, prepare: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("watched");
        fs::create_dir(&folder).unwrap();
        prepare(&folder);
        let first = look(&folder, ends_in_so);
        let (watcher, task) = Watcher::new(folder, ends_in_so, settings, first);
        let views = watcher.views();
        let history = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(remember(watcher.views(), Arc::clone(&history)));
        Self {
            root,
            watcher,
            views,
            history,
            task: tokio::spawn(task.run()),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("watched").join(name)
    }

    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) async fn until(&mut self, what: &str, holds: impl FnMut(&FolderView) -> bool) {
        let mut holds = holds;
        let wait = self.views.wait_for(|view| holds(view));
        let found = timeout(GENEROUS, wait).await.is_ok();
        let view = self.watcher.views().borrow().clone();
        assert!(found, "not {what}: {view:?}");
    }

    /// Waits until these files count as they are now, and no others.
    pub(super) async fn until_holds(&mut self, names: &[&str]) {
        let expected = expected(&self.path(""), names);
        let what = format!("{names:?} as they are");
        self.until(&what, |view| {
            view.problem.is_none() && view.files == expected
        })
        .await;
    }

    pub(super) async fn until_missing(&mut self) {
        let is_missing =
            |view: &FolderView| matches!(view.problem, Some(FolderProblem::Missing { .. }));
        self.until("missing", is_missing).await;
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.views.borrow().files.contains_key(OsStr::new(name))
    }

    /// Whether any view since the first with it was without this file.
    pub(super) fn had_gap(&self, name: &str) -> bool {
        let history = self.history.lock().unwrap();
        let has = history
            .iter()
            .map(|view| view.files.contains_key(OsStr::new(name)));
        has.skip_while(|has| !has).any(|has| !has)
    }
}

async fn remember(
    mut views: watch::Receiver<Arc<FolderView>>,
    history: Arc<Mutex<Vec<Arc<FolderView>>>>,
) {
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        history.lock().unwrap().push(view);
        if views.changed().await.is_err() {
            return;
        }
    }
}

pub(super) fn expected(folder: &Path, names: &[&str]) -> BTreeMap<OsString, Seen> {
    let seen = |name: &&str| {
        let path = folder.join(name);
        let metadata = path.metadata().or_else(|_| path.symlink_metadata());
        let fingerprint = Some(Fingerprint::of(&metadata.unwrap()));
        ((*name).into(), Seen { path, fingerprint })
    };
    names.iter().map(seen).collect()
}

/// The names of the files that were opened, each once, in order.
pub(super) fn opened(queue: &rustix::fd::OwnedFd) -> Vec<String> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(queue, &mut buffer);
    let mut opened = Vec::new();
    loop {
        match events.next() {
            // The folder itself has no name in its events.
            Ok(event) => opened.extend(event.file_name().map(|it| it.to_str().unwrap().to_owned())),
            Err(Errno::AGAIN) => break,
            Err(error) => panic!("inotify: {error}"),
        }
    }
    opened.sort();
    opened.dedup();
    opened
}
