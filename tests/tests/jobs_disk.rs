//! What the host does when its disk is full or damaged, its store fails, its clock is set, or its queue is long: it says
//! so, keeps what it has acknowledged, and goes on with all that needs no store. (FAULTS JB-04, JB-06, JB-12, JB-13)

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use bulkhead::jobs::{JobStore as _, NewJob, SqliteStore};
use bulkhead_tests::cli::{self, Ended};
use bulkhead_tests::daemon::{Daemon, IMAGE};
use bulkhead_tests::disk::SmallDisk;
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::jobs::made;
use bulkhead_tests::ledger::Ledger;
use bulkhead_tests::submit::{brief, id};
use bulkhead_tests::wait;
use chrono::{DateTime, Duration as Span, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// How much room the disk has that is to be full.
const ROOM: u64 = 3 << 20;
/// As much processor time in a second is no busy loop.
const IDLE: Duration = Duration::from_millis(400);

/// Submits until the disk is full; gives what the host says then.
fn fill(ledger: &mut Ledger, daemon: &Daemon) -> String {
    for _ in 0..2000 {
        let answer = ledger.submit(daemon).unwrap();
        if answer.status != 202 {
            return answer.brief();
        }
    }
    panic!("{ROOM} bytes have taken {} jobs", ledger.count());
}

#[test]
fn jb_04_a_full_disk_refuses_jobs_until_there_is_room() {
    let mut ledger = Ledger::new(3, "");
    let Some(disk) = SmallDisk::mount(&ledger.folder.beside("state"), 96) else {
        return;
    };
    let daemon = ledger.start();
    let ballast = disk.fill_but(ROOM);
    let said = fill(&mut ledger, &daemon);
    assert!(
        said.starts_with("507 ExecutionError storage_full"),
        "{said}"
    );
    assert!(ledger.count() > 10, "{} jobs", ledger.count());
    let refused = until_small_ones_are_refused(&mut ledger, &daemon);
    assert!(refused.starts_with("507 "), "{refused}");
    // Jobs come to their ends, which cannot be kept now; until then a call would wait for the first of them.
    ledger.open();
    assert_eq!(daemon.call("steps", &json!({})).status, 200);
    let spent = spent_in_a_second(&daemon);
    assert!(spent < IDLE, "{spent:?} of processor time in a second");
    assert_eq!(daemon.call("steps", &json!({})).status, 200);
    fs::remove_file(ballast).unwrap();
    wait::until("a job to be accepted", || {
        (ledger.submit(&daemon).unwrap().status == 202).then_some(())
    });
    ledger.await_all(&daemon);
    drop(daemon);
    assert_eq!(ledger.audit(), [""; 0]);
}

/// One that is large may be refused where a small one is not.
fn until_small_ones_are_refused(ledger: &mut Ledger, daemon: &Daemon) -> String {
    let mut refused = Vec::new();
    while refused.len() < 8 {
        let answer = ledger.submit(daemon).unwrap();
        if answer.status == 202 {
            refused.clear();
        } else {
            refused.push(answer.brief());
        }
    }
    refused.swap_remove(0)
}

/// How much processor time the host itself needs in a second of which nobody wants anything.
fn spent_in_a_second(daemon: &Daemon) -> Duration {
    let before = daemon.process().spent();
    thread::sleep(Duration::from_secs(1));
    daemon.process().spent() - before
}

/// A host that is not to start.
fn start(folder: &Folder) -> Ended {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (plugins, state) = (text(&folder.path()), text(&folder.beside("state")));
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    cli::run(&[&listen[..], &["--plugins", &plugins, "--state", &state]].concat())
}

#[test]
fn jb_06_a_damaged_store_is_refused_by_its_name() {
    let mut ledger = Ledger::new(3, "");
    ledger.leave(3);
    let file = ledger.folder.beside("state").join("jobs.db");
    let log = ledger.folder.beside("state").join("jobs.db-wal");
    let (sound, sound_log) = (fs::read(&file).unwrap(), fs::read(&log).unwrap());
    let zeroed = [&[0; 100], &sound[100..]].concat();
    for (what, damaged) in [("a head of zeros", &zeroed[..]), ("empty", &[])] {
        for log_too in [false, true] {
            fs::write(&file, damaged).unwrap();
            fs::write(&log, if log_too { &sound_log[..] } else { &[] }).unwrap();
            let ended = start(&ledger.folder);
            assert!([69, 78].contains(&ended.exit), "{what}: {ended:?}");
            let name = file.to_str().unwrap();
            assert!(ended.stderr.contains(name), "{what}: {ended:?}");
            assert_eq!(fs::read(&file).unwrap(), damaged, "{what}: it is as it was");
        }
    }
    fs::write(&file, sound).unwrap();
    fs::write(&log, sound_log).unwrap();
    assert_eq!(ledger.audit(), [""; 0]);
}

#[test]
fn a_store_that_cannot_commit_ends_the_host_and_loses_nothing() {
    let mut ledger = Ledger::new(6, "");
    ledger.open();
    let environment = [("FAILPOINTS", "store.commit_fails=60*off->return")];
    let started = Daemon::start_failing(&ledger.folder, &ledger.config, &environment);
    let mut daemon = started.expect("nobody kills it");
    let events = daemon.events();
    let refused = (0..200).find_map(|_| match ledger.submit(&daemon) {
        Ok(answer) if answer.status == 202 => None,
        Ok(answer) => Some(answer.status),
        // It listens no more.
        Err(_) => Some(0),
    });
    let refused = refused.expect("a job is refused at last");
    assert!([0, 500, 503].contains(&refused), "{refused}");
    let told = events.wait_for(|event| event.kind == "store_failed");
    assert!(!told.reason().is_empty(), "{told:?}");
    assert_eq!(daemon.exit_code(), Some(69));
    let log = daemon.log();
    assert!(
        log.contains("the job store can be trusted no more"),
        "{log}"
    );
    drop((events, daemon));
    assert!(ledger.count() > 5, "{} jobs", ledger.count());
    assert_eq!(ledger.audit(), [""; 0]);
}

/// The library that has a process see another time; `None`, aloud, where it is not installed.
fn faketime() -> Option<String> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = files.find(|file| file.exists());
    if found.is_none() {
        eprintln!("SKIPPED: libfaketime is not installed: no clock is set");
    }
    Some(found?.to_str()?.to_owned())
}

/// A host whose clock can be set while it runs. The time that passes stays as it is.
struct Clock {
    library: String,
    file: String,
}

impl Clock {
    fn new(folder: &Folder) -> Option<Self> {
        let library = faketime()?;
        let file = folder.beside("clock");
        let clock = Self {
            library,
            file: file.to_str()?.to_owned(),
        };
        clock.set(0);
        Some(clock)
    }

    fn set(&self, hours: i64) {
        // In one step for whoever reads it.
        let part = format!("{}.part", self.file);
        fs::write(&part, format!("{:+}\n", hours * 3600)).unwrap();
        fs::rename(part, &self.file).unwrap();
    }

    fn start(&self, ledger: &Ledger) -> Daemon {
        let environment = [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &self.file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Daemon::start_with(&ledger.folder, &ledger.config, &environment)
    }
}

fn time(job: &Value, field: &str) -> DateTime<Utc> {
    let text = job[field].as_str();
    let text = text.unwrap_or_else(|| panic!("{field} is not there: {job}"));
    text.parse().unwrap()
}

/// How many hours the host's clock was ahead when it took a job: its id says so.
fn hours_ahead(job: &Value) -> i64 {
    let id = Uuid::parse_str(job["id"].as_str().unwrap()).unwrap();
    let (seconds, _) = id.get_timestamp().unwrap().to_unix();
    let ahead = i64::try_from(seconds).unwrap() - Utc::now().timestamp();
    (ahead + 1800).div_euclid(3600)
}

/// The order of a job's times.
fn is_in_order(job: &Value) {
    let [created, started, finished] =
        ["created_at", "started_at", "finished_at"].map(|field| time(job, field));
    assert!(created <= started && started <= finished, "{job}");
}

#[test]
fn jb_12_a_clock_that_is_set_expires_nothing() {
    let mut ledger = Ledger::new(3, "retention = { age = \"30m\" }\n");
    let Some(clock) = Clock::new(&ledger.folder) else {
        return;
    };
    let config = ledger.config.replace("concurrency = 1", "concurrency = 2");
    ledger.config = config;
    let daemon = clock.start(&ledger);
    // One that runs all the time, with a lease of 2 s, and one that waits for its time.
    let running = id(&ledger.submit(&daemon).unwrap());
    daemon.wait_for_status(&running, "RUNNING");
    let later = (Utc::now() + Span::minutes(30)).to_rfc3339();
    let query = [("not_before", later.as_str())];
    let waiting = id(&daemon.submit_with("steps", &json!({}), &query, &[]));
    for (count, hours) in [0, 1, -1].into_iter().enumerate() {
        clock.set(hours);
        // While it runs, leases are renewed, and what is old is looked for.
        let job = daemon.submitted("steps", &json!({ "sleep_ms": 2500 }));
        let job = daemon.ended(&job);
        assert_eq!(hours_ahead(&job), hours, "the clock was not set: {job}");
        assert_eq!(brief(&job), "SUCCESS");
        is_in_order(&job);
        let held = daemon.job(&running);
        assert_eq!(
            (&held["status"], &held["attempt"]),
            (&json!("RUNNING"), &json!(1))
        );
        assert_eq!(daemon.job(&waiting)["status"], "PENDING");
        assert_eq!(
            daemon.jobs("limit=50").len(),
            3 + count,
            "none is forgotten"
        );
    }
    ledger.open();
    let ended = daemon.ended(&running);
    assert_eq!(
        (brief(&ended).as_str(), &ended["attempt"]),
        ("SUCCESS", &json!(1))
    );
    is_in_order(&ended);
    assert_eq!(daemon.cancel(&waiting).status, 200);
}

#[test]
fn jb_12_a_host_that_starts_with_another_time_runs_what_was_left() {
    for (before, after) in [(0, 1), (1, 0)] {
        let mut ledger = Ledger::new(3, "");
        let Some(clock) = Clock::new(&ledger.folder) else {
            return;
        };
        clock.set(before);
        let mut daemon = clock.start(&ledger);
        for _ in 0..3 {
            assert_eq!(ledger.submit(&daemon).unwrap().status, 202);
        }
        daemon.kill();
        clock.set(after);
        ledger.open();
        let daemon = clock.start(&ledger);
        for job in daemon.jobs("limit=50") {
            let job = daemon.ended(job["id"].as_str().unwrap());
            assert_eq!(brief(&job), "SUCCESS", "from {before} to {after}");
            // When it was created, the clock was another.
            assert!(
                time(&job, "started_at") <= time(&job, "finished_at"),
                "{job}"
            );
        }
        drop(daemon);
        clock.set(0);
    }
}

/// How many jobs wait that nobody can run yet.
const MANY: usize = 100_000;

async fn add_many(state: &Path) {
    let store = SqliteStore::open(state).unwrap();
    let now = made::whole(Utc::now());
    for _ in 0..MANY / 1000 {
        let jobs = (0..1000).map(|_| NewJob {
            not_before: now + Span::days(300),
            ..made::job("steps", now)
        });
        store.add(jobs.collect()).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn jb_13_a_long_queue_takes_no_memory() {
    let folder = Folder::of(&fixture("fixture-steps"));
    let state = folder.beside("state");
    fs::create_dir(&state).unwrap();
    add_many(&state).await;
    let daemon = Daemon::start(&folder, "");
    let page = daemon.get("/v1/jobs");
    let items = page.body["items"].as_array().unwrap();
    assert_eq!((page.status, items.len()), (200, 50));
    let job = daemon.submitted("steps", &json!({ "mark": "new" }));
    assert_eq!(brief(&daemon.ended(&job)), "SUCCESS");
    assert_eq!(items[0]["image_bytes"], 1234);
    assert_eq!(
        daemon
            .post_raw("steps", "image/x-any", IMAGE, &json!({}))
            .status,
        200
    );
    let resident = daemon.resident();
    assert!(resident < 150 << 20, "{} MiB", resident >> 20);
}
