//! A host that keeps jobs, with one plugin that does next to nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bulkhead::app::App;
use bulkhead::call::Payload;
use bulkhead::config::{Config, Overrides, Sources, read};
use bulkhead::jobs::{Kind, Listing, Status};
use bulkhead::services::{AnalysisRequest, Terms};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::disk;
use crate::fixture::{fixture, picture};

/// The plugin's name.
pub(crate) const PLUGIN: &str = "tiny";
/// The size of an image, in bytes: small, but each another.
const IMAGE: usize = 64;
/// The longest that any job may take to end.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the plugin runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// In this process, on the task that calls it.
    Inline,
    /// In workers.
    Process,
}

impl Lane {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Process => "process",
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::Inline => "lane = \"in-process\"\ninline = true",
            Self::Process => "",
        }
    }
}

/// The chain from the service on.
pub(crate) struct Host {
    pub(crate) app: App,
    _scratch: TempDir,
}

impl Host {
    /// A host whose plugin can be called, which keeps no jobs.
    pub(crate) fn without_store(runtime: &Runtime, lane: Lane) -> Self {
        let scratch = disk::folder();
        Self::open(runtime, lane, "sqlite", scratch)
    }

    /// A host that keeps jobs in this store.
    pub(crate) fn new(runtime: &Runtime, lane: Lane, store: &str) -> Self {
        let host = Self::open(runtime, lane, store, disk::folder());
        runtime.block_on(host.app.keep_jobs()).unwrap();
        runtime.block_on(host.warm_up());
        host
    }

    fn open(runtime: &Runtime, lane: Lane, store: &str, scratch: TempDir) -> Self {
        let app = App::build(config(scratch.path(), lane, store)).unwrap();
        runtime.block_on(app.plugins.preload());
        Self {
            app,
            _scratch: scratch,
        }
    }

    /// Until jobs are begun as they come.
    async fn warm_up(&self) {
        for _ in 0..20 {
            self.done(self.submit().await).await;
        }
    }

    /// Has a job kept.
    pub(crate) async fn submit(&self) -> Uuid {
        submit(&self.app).await
    }

    /// Until this job has ended well.
    pub(crate) async fn done(&self, job: Uuid) {
        let job = job.to_string();
        let waited = self.app.jobs.wait_job(&job, None, LIMIT);
        assert_eq!(waited.await.unwrap().status, Status::Success);
    }

    /// Begins no more jobs, and lets go of the store.
    pub(crate) fn close(&self, runtime: &Runtime) {
        runtime.block_on(self.app.jobs.close(LIMIT));
    }

    /// An analysis that is waited for.
    pub(crate) async fn analyze(&self) {
        self.app.analysis.analyze(request()).await.unwrap();
    }
}

/// Settings for a host with its state in this folder.
pub(crate) fn config(folder: &Path, lane: Lane, store: &str) -> Config {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let plugins = folder.join("plugins");
    fs::create_dir(&plugins).unwrap();
    let library = LIBRARY.get_or_init(library);
    fs::copy(library, plugins.join("plugin.so")).unwrap();
    let file = folder.join("bulkhead.toml");
    let lane = lane.settings();
    let text = format!("[jobs]\nstore = \"{store}\"\n[plugin.{PLUGIN}]\n{lane}\n");
    fs::write(&file, text).unwrap();
    let overrides = Overrides {
        plugins: Some(plugins),
        state: Some(folder.join("state")),
        ..Overrides::default()
    };
    let sources = Sources {
        config: Some(file),
        overrides,
        ..Sources::default()
    };
    read(&sources).unwrap()
}

/// The plugin as it was built before, where it is said in which folder; else it is built now.
fn library() -> PathBuf {
    let built = std::env::var_os("BULKHEAD_FIXTURES").map(PathBuf::from);
    let built = built.map(|folder| folder.join(format!("libfixture_{PLUGIN}.so")));
    built.unwrap_or_else(|| fixture(PLUGIN))
}

/// Has a job kept.
pub(crate) async fn submit(app: &App) -> Uuid {
    let submitted = app.analysis.submit(vec![request()], Terms::default()).await;
    let [job] = <[_; 1]>::try_from(submitted.unwrap()).unwrap();
    job.unwrap().record.id
}

/// Until no job waits that is due, and none runs.
pub(crate) async fn idle(app: &App) {
    for status in [Status::Pending, Status::Running] {
        let one = Listing {
            status: Some(status),
            kind: Some(Kind::Submitted),
            limit: 1,
            ..Listing::default()
        };
        while !app.jobs.list_jobs(one.clone()).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn request() -> AnalysisRequest {
    AnalysisRequest {
        plugin: Some(PLUGIN.to_owned()),
        payload: Payload::Heap(image()),
        mime_type: "image/png".to_owned(),
        options: None,
        owner: None,
        request_id: "bench".into(),
        trace: None,
        deadline: None,
        held: None,
    }
}

/// An image that was never there before.
pub(crate) fn image() -> bytes::Bytes {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut image = picture(IMAGE).to_vec();
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    image[IMAGE - number.len()..].copy_from_slice(&number);
    image.into()
}
