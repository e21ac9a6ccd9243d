//! Where the watcher, which knows files, meets the reconciler, which knows plugins.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::config::Plugins;
use crate::loader::is_plugin_name;
use crate::services::rollout::{Reconciler, SettingsSource, Watch, Watched};
use crate::watcher::{self, FolderView, WatchSettings, Watcher};

/// What the folder holds at the start.
pub(super) fn first(folder: &Path) -> FolderView {
    watcher::look(folder, is_plugin_name)
}

/// Follows the folder from `first` on, in tasks that end when the reconciler's host stops.
pub(super) fn start(
    plugins: &Plugins,
    first: FolderView,
    reconciler: Reconciler,
    settings: Option<Arc<dyn SettingsSource>>,
    tasks: &TaskTracker,
) {
    let stop = reconciler.stop();
    if !plugins.watch {
        info!("the plugins folder is not watched: it is read when somebody asks");
        let asked = Asked::new(plugins, first);
        tasks.spawn(reconciler.run(asked, settings));
        return;
    }
    let patience = WatchSettings {
        settle: plugins.settle.duration(),
        rescan: plugins.rescan.duration(),
    };
    let (watcher, task) = Watcher::new(plugins.dir.clone(), is_plugin_name, patience, first);
    let views = watcher.views();
    tasks.spawn(async move {
        tokio::select! {
            () = task.run() => {}
            () = stop.cancelled() => {}
        }
    });
    tasks.spawn(reconciler.run(Followed { watcher, views }, settings));
}

/// A folder that is followed.
struct Followed {
    watcher: Watcher,
    views: watch::Receiver<Arc<FolderView>>,
}

impl Watch for Followed {
    fn view(&self) -> Watched {
        let view = Arc::clone(&self.views.borrow());
        FolderView::clone(&view).into()
    }

    async fn changed(&mut self) -> bool {
        self.views.changed().await.is_ok()
    }

    async fn rescan(&self) {
        self.watcher.rescan().await;
    }
}

/// A folder that is looked at when somebody asks.
struct Asked {
    folder: std::path::PathBuf,
    view: watch::Sender<FolderView>,
}

impl Asked {
    fn new(plugins: &Plugins, first: FolderView) -> Self {
        Self {
            folder: plugins.dir.clone(),
            view: watch::Sender::new(first),
        }
    }
}

impl Watch for Asked {
    fn view(&self) -> Watched {
        let view = self.view.borrow().clone();
        view.into()
    }

    async fn changed(&mut self) -> bool {
        std::future::pending().await
    }

    async fn rescan(&self) {
        let folder = self.folder.clone();
        let looked = tokio::task::spawn_blocking(move || first(&folder));
        if let Ok(view) = looked.await {
            self.view.send_replace(view);
        }
    }
}

impl From<FolderView> for Watched {
    fn from(view: FolderView) -> Self {
        let problem = view.problem.map(|problem| problem.to_string());
        let files = view.files.into_iter();
        let files = files.map(|(name, seen)| (name, seen.fingerprint)).collect();
        Self { problem, files }
    }
}
