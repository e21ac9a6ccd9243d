//! A host that starts on many jobs: how long until it keeps them, in how much memory, and how fast it is then.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bulkhead::app::App;
use bulkhead::jobs::Status;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::disk;
use crate::effort::Effort;
use crate::host::{Lane, config, idle, submit};
use crate::lists;
use crate::process::Process;
use crate::queue;
use crate::table::{Titled, millis, percentile, whole};

/// A host on a store that was there before.
struct Started {
    app: App,
    took: Duration,
    folder: TempDir,
}

impl Started {
    fn start(runtime: &Runtime, count: u32, due: bool) -> Self {
        let folder = disk::folder();
        queue::make(&folder.path().join("state"), count, due);
        let config = config(folder.path(), Lane::Inline, "sqlite");
        let began = Instant::now();
        let app = App::build(config).unwrap();
        runtime.block_on(app.keep_jobs()).unwrap();
        let took = began.elapsed();
        Self { app, took, folder }
    }

    async fn close(self) {
        self.app.jobs.close(Duration::from_secs(10)).await;
    }
}

pub(crate) fn measure(runtime: &Runtime, effort: &Effort) -> Vec<Titled> {
    let waiting = effort.waiting;
    let mut rows = Vec::new();
    let before = resident();
    let empty = Started::start(runtime, 0, false);
    let (empty_start, of_empty) = (empty.took, resident());
    runtime.block_on(empty.close());
    let full = Started::start(runtime, waiting, false);
    let of_full = resident();
    let size = fs::metadata(full.folder.path().join("state/jobs.db"))
        .unwrap()
        .len();
    let pages = runtime.block_on(lists::look(&full.app, waiting, effort.looks));
    let after = resident();
    runtime.block_on(full.app.plugins.preload());
    let took = runtime.block_on(jobs(&full.app, effort.looks));
    rows.push(vec!["start, none wait".to_owned(), millis(empty_start)]);
    rows.push(vec!["start".to_owned(), millis(full.took)]);
    rows.push(vec!["the file of the store".to_owned(), mib(size)]);
    rows.push(vec!["memory: before any host".to_owned(), mib(before)]);
    rows.push(vec!["memory: a host, none wait".to_owned(), mib(of_empty)]);
    rows.push(vec!["memory: a host".to_owned(), mib(of_full)]);
    rows.push(vec!["memory: after all looks".to_owned(), mib(after)]);
    for percent in [50, 99] {
        let name = format!("a new job, from submission to end, p{percent}");
        rows.push(vec![name, millis(percentile(&took, percent))]);
    }
    runtime.block_on(full.close());
    rows.push(drain(runtime, effort.due));
    let waiting = whole(waiting.into());
    vec![
        Titled {
            title: format!("A host on {waiting} jobs that wait, SQLite, inline"),
            head: vec!["what", "how much"],
            rows,
        },
        Titled {
            title: format!("50 of {waiting} jobs that wait"),
            head: vec!["look", "p50", "max"],
            rows: pages,
        },
    ]
}

/// How fast jobs are claimed and done that are there from the first.
fn drain(runtime: &Runtime, due: u32) -> Vec<String> {
    let host = Started::start(runtime, due, true);
    let began = Instant::now();
    runtime.block_on(host.app.plugins.preload());
    runtime.block_on(idle(&host.app));
    let rate = f64::from(due) / began.elapsed().as_secs_f64();
    let last = queue::id(due - 1).to_string();
    let last = host.app.jobs.look_up(&last, None);
    assert_eq!(runtime.block_on(last).unwrap().status, Status::Success);
    runtime.block_on(host.close());
    let name = format!("done a second, of {} that were due", whole(due.into()));
    vec![name, whole(rate)]
}

/// How long jobs take that come to the others.
async fn jobs(app: &App, count: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    // The first finds its plugin not yet at its desk.
    for _ in 0..=count {
        let began = Instant::now();
        let job = submit(app).await.to_string();
        let ended = app.jobs.wait_job(&job, None, Duration::from_secs(60)).await;
        assert_eq!(ended.unwrap().status, Status::Success);
        took.push(began.elapsed());
    }
    took.split_off(1)
}

fn resident() -> u64 {
    if !Path::new("/proc/self/status").exists() {
        return 0;
    }
    let this = i32::try_from(std::process::id()).expect("ids are small");
    Process(this).resident()
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
