//! Files of the SQLite store that are damaged, and a disk that is full. A store is either as it was, up to a point in
//! time, or refuses by its file's name: it is never empty without a word.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead::jobs::{JobStore as _, Listing, NewJob, SqliteStore, Status, StoreError};
use bulkhead_tests::jobs::made::{self, HOST, wish};
use bulkhead_tests::mutations::Random;
use chrono::{DateTime, Utc};
use tempfile::TempDir;
use uuid::Uuid;

const BATCHES: usize = 24;

fn now() -> DateTime<Utc> {
    made::whole(Utc::now())
}

/// Where a store was while it was open: its file, and its log with commits that are in the log alone.
struct Snapshot {
    folder: TempDir,
    /// Jobs in the order in which they were acknowledged, one after the other.
    jobs: Vec<Uuid>,
}

impl Snapshot {
    /// As a killed process would leave it.
    async fn take() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = tempfile::tempdir().unwrap();
        let mut jobs = fill(live.path(), BATCHES / 2).await;
        let store = SqliteStore::open(live.path()).unwrap();
        for _ in 0..BATCHES / 2 {
            let job = made::job("decode", now());
            jobs.push(job.id);
            store.add(vec![job]).await.unwrap();
        }
        for entry in fs::read_dir(live.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        store.close().await;
        let snapshot = Self { folder, jobs };
        assert!(snapshot.read("jobs.db-wal").len() > 4096, "there is a log");
        snapshot
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A copy whose files `change` has damaged, opened: which of the jobs are there, or why it was refused.
    async fn after(&self, change: impl FnOnce(&Path)) -> Result<Vec<Uuid>, String> {
        let copy = tempfile::tempdir().unwrap();
        for name in ["jobs.db", "jobs.db-wal"] {
            fs::copy(self.path(name), copy.path().join(name)).unwrap();
        }
        change(copy.path());
        opened(copy.path()).await
    }
}

/// A store that was closed, with so many jobs.
async fn fill(folder: &Path, count: usize) -> Vec<Uuid> {
    let store = SqliteStore::open(folder).unwrap();
    let mut jobs = Vec::new();
    for _ in 0..count {
        let job = made::job("decode", now());
        jobs.push(job.id);
        store.add(vec![job]).await.unwrap();
    }
    store.close().await;
    jobs
}

/// Opens, reads every job, writes one, and closes.
async fn opened(folder: &Path) -> Result<Vec<Uuid>, String> {
    let store = SqliteStore::open(folder).map_err(|error| error.to_string())?;
    let found = read_all(&store).await;
    store.close().await;
    found.map_err(|error| format!("jobs.db: {error}"))
}

async fn read_all(store: &SqliteStore) -> Result<Vec<Uuid>, StoreError> {
    let listing = Listing {
        limit: 1000,
        ..Listing::default()
    };
    let mut there = Vec::new();
    for record in store.list(listing).await? {
        let whole = store.get(record.id, None).await?;
        let whole = whole.ok_or_else(|| StoreError::Corrupt("listed, but not there".to_owned()))?;
        assert_eq!(whole.request_id, format!("request-{}", whole.id.simple()));
        there.push(record.id);
    }
    there.reverse();
    let job = made::job("decode", now());
    let id = job.id;
    store.add(vec![job]).await?;
    assert!(store.get(id, None).await?.is_some(), "it takes a job");
    Ok(there)
}

/// Whether what came of damage is what the operator may see.
fn is_fair(jobs: &[Uuid], found: &Result<Vec<Uuid>, String>, least: usize, what: &str) {
    match found {
        Ok(there) => {
            assert!(jobs.starts_with(there), "{what}: a job is missing between");
            assert!(there.len() >= least, "{what}: {} are left", there.len());
        }
        Err(reason) => assert!(reason.contains("jobs.db"), "{what}: {reason}"),
    }
}

#[tokio::test]
async fn a_log_as_a_kill_leaves_it_loses_nothing() {
    let snapshot = Snapshot::take().await;
    let found = snapshot.after(|_| ()).await;
    assert_eq!(found.unwrap(), snapshot.jobs);
}

#[tokio::test]
async fn a_torn_log_gives_what_was_before() {
    let snapshot = Snapshot::take().await;
    let length = snapshot.read("jobs.db-wal").len();
    let mut lengths = vec![0, 1, 31, 32, 33, 56, length - 1];
    lengths.extend((0..length).step_by(1777));
    let mut counts = Vec::new();
    for keep in lengths {
        let found = snapshot.after(|folder| {
            let log = fs::File::options()
                .write(true)
                .open(folder.join("jobs.db-wal"));
            log.unwrap().set_len(keep as u64).unwrap();
        });
        let found = found.await;
        let least = BATCHES / 2;
        is_fair(
            &snapshot.jobs,
            &found,
            least,
            &format!("{keep} bytes are left"),
        );
        counts.push(found.expect("a torn log is no damage").len());
    }
    assert!(
        counts.iter().any(|count| *count > BATCHES / 2),
        "{counts:?}"
    );
    assert!(counts.contains(&(BATCHES / 2)), "{counts:?}");
}

#[tokio::test]
async fn flipped_bytes_of_a_log_give_what_was_before_or_are_refused() {
    let snapshot = Snapshot::take().await;
    let mut random = Random::new(7);
    let length = snapshot.read("jobs.db-wal").len();
    let places = (0..32).chain((0..60).map(|_| random.below(length)));
    for place in places.collect::<Vec<_>>() {
        let found = snapshot.after(|folder| flip(&folder.join("jobs.db-wal"), place));
        let what = format!("byte {place} of the log");
        is_fair(&snapshot.jobs, &found.await, BATCHES / 2, &what);
    }
}

fn flip(file: &Path, place: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[place] ^= 0x5a;
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn flipped_bytes_of_the_file_lose_no_job_silently() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = fill(folder.path(), BATCHES).await;
    let sound = fs::read(folder.path().join("jobs.db")).unwrap();
    let mut random = Random::new(11);
    let mut refused = 0;
    let places = (0..100).chain((0..150).map(|_| random.below(sound.len())));
    for place in places.collect::<Vec<_>>() {
        let copy = tempfile::tempdir().unwrap();
        let file = copy.path().join("jobs.db");
        fs::write(&file, &sound).unwrap();
        flip(&file, place);
        match tokio::spawn(async move { opened(copy.path()).await }).await {
            Ok(Ok(there)) => assert_eq!(there, jobs, "byte {place} of the file"),
            Ok(Err(reason)) => {
                assert!(reason.contains("jobs.db"), "byte {place}: {reason}");
                refused += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 10, "only {refused} were refused");
}

async fn is_refused(folder: &Path, what: &str) {
    let reason = opened(folder).await.expect_err(what);
    let file = folder.join("jobs.db").display().to_string();
    assert!(reason.contains(&file), "{what}: {reason}");
}

#[tokio::test]
async fn a_file_that_is_none_any_more_is_refused() {
    for (what, keep, zeroed) in [
        ("empty", 0, 0),
        ("half a head", 50, 0),
        ("a head alone", 100, 0),
        ("one page", 4096, 0),
        ("cut in a page", 4096 * 3 + 17, 0),
        ("a head of zeros", usize::MAX, 100),
        ("a page of zeros", usize::MAX, 4096),
        ("all zeros", usize::MAX, usize::MAX),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), BATCHES).await;
        let file = folder.path().join("jobs.db");
        let mut bytes = fs::read(&file).unwrap();
        bytes.truncate(keep);
        let zeroed = zeroed.min(bytes.len());
        bytes[..zeroed].fill(0);
        fs::write(&file, &bytes).unwrap();
        is_refused(folder.path(), what).await;
        assert_eq!(fs::read(&file).unwrap(), bytes, "{what}: it is as it was");
    }
}

#[tokio::test]
async fn a_log_without_its_file_is_refused() {
    let snapshot = Snapshot::take().await;
    fs::remove_file(snapshot.path("jobs.db")).unwrap();
    is_refused(snapshot.folder.path(), "a log alone").await;
    assert!(!snapshot.path("jobs.db").exists(), "no new store was begun");
}

#[tokio::test]
async fn a_file_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs.db"), "a text\n".repeat(2000)).unwrap();
    is_refused(folder.path(), "a text").await;
}

/// A small disk of its own, gone with its drop.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// One of 3 MiB; `None`, aloud, where mounting is not allowed.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "bulkhead-test"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(folder)),
            refused => {
                eprintln!("SKIPPED: no disk can be mounted here: {refused:?}");
                None
            }
        }
    }

    /// Takes all room that there is; gives it back with its file.
    fn fill(&self) -> PathBuf {
        let file = self.0.path().join("ballast");
        // It ends where the disk is full.
        let _ = fs::write(&file, vec![1; 4 << 20]);
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is still open keeps it until then; nobody can find it any more.
        let done = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(done.is_ok_and(|done| done.success()), "it was mounted");
    }
}

fn large(now: DateTime<Utc>) -> NewJob {
    NewJob {
        options: Some(format!("\"{}\"", "x".repeat(20_000))),
        ..made::job("decode", now)
    }
}

/// Adds large jobs until there is no room; gives those that were acknowledged.
async fn until_full(store: &SqliteStore) -> Vec<Uuid> {
    let mut kept = Vec::new();
    for _ in 0..1000 {
        let job = large(now());
        let id = job.id;
        match store.add(vec![job]).await {
            Ok(_) => kept.push(id),
            Err(StoreError::Full(_)) => return kept,
            Err(other) => panic!("a full disk is no `{other}`"),
        }
    }
    panic!("3 MiB have taken 20 MB");
}

async fn all_are_there(store: &SqliteStore, jobs: &[Uuid]) {
    for id in jobs {
        assert!(store.get(*id, None).await.unwrap().is_some(), "{id}");
    }
    let counted = store.count().await.unwrap();
    let counted: u64 = counted.iter().map(|(_, count)| count).sum();
    assert_eq!(counted, jobs.len() as u64, "no job that was refused");
}

#[tokio::test]
async fn a_full_disk_refuses_jobs_until_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = SqliteStore::open(disk.0.path()).unwrap();
    let first = made::job("first", now());
    let mut kept = vec![first.id];
    store.add(vec![first]).await.unwrap();
    let ballast = disk.fill();
    kept.extend(until_full(&store).await);
    for _ in 0..5 {
        let refused = store.add(vec![large(now())]).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    }
    all_are_there(&store, &kept).await;
    fs::remove_file(ballast).unwrap();
    let more = large(now());
    kept.push(more.id);
    store.add(vec![more]).await.expect("there is room again");
    all_are_there(&store, &kept).await;
    let claimed = store.claim(wish(&[("first", 1)], now())).await.unwrap();
    assert!(
        store
            .finish(made::success(claimed[0].lease(), now()))
            .await
            .unwrap()
    );
    store.close().await;
    let store = SqliteStore::open(disk.0.path()).unwrap();
    all_are_there(&store, &kept).await;
    let first = store.get(kept[0], None).await.unwrap().unwrap();
    assert_eq!(first.status, Status::Success);
    store.close().await;
}

#[tokio::test]
async fn a_store_that_has_filled_its_disk_itself_can_be_opened_again() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = SqliteStore::open(disk.0.path()).unwrap();
    let kept = until_full(&store).await;
    assert!(kept.len() > 20, "{} jobs of 20 kB in 3 MiB", kept.len());
    all_are_there(&store, &kept).await;
    store.close().await;
    let store = SqliteStore::open(disk.0.path()).expect("a full disk is no damage");
    all_are_there(&store, &kept).await;
    store.close().await;
}

#[tokio::test]
async fn jobs_that_run_are_kept_over_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = SqliteStore::open(disk.0.path()).unwrap();
    let job = NewJob {
        claim: Some((HOST, now() + made::hours(1))),
        ..made::job("decode", now())
    };
    let id = job.id;
    store.add(vec![job]).await.unwrap();
    let ballast = disk.fill();
    let mut kept = until_full(&store).await;
    kept.push(id);
    let lease = store.get(id, None).await.unwrap().unwrap().lease();
    let mut over = made::success(lease, now());
    over.outcome = made::output(&format!("\"{}\"", "y".repeat(60_000)));
    let refused = store.finish(over.clone()).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    let record = store.get(id, None).await.unwrap().unwrap();
    assert_eq!(record.status, Status::Running, "nothing by half");
    fs::remove_file(ballast).unwrap();
    assert!(store.finish(over).await.unwrap(), "the lease still counts");
    all_are_there(&store, &kept).await;
    store.close().await;
}
