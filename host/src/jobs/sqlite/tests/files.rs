use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::jobs::store::JobStore;

fn overwrite(file: &Path, from: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(bytes).unwrap();
}

async fn filled(folder: &Path) -> SqliteStore {
    let store = open(folder);
    store
        .add((0..50).map(|_| new_job("any")).collect())
        .await
        .unwrap();
    store
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let copy = copy_of(folder.path());
    let found = open(copy.path());
    assert_eq!(found.count().await.unwrap(), [(Status::Pending, 50)]);
    assert_eq!(found.since(), store.since());
}

#[tokio::test]
async fn a_torn_log_gives_what_was_committed_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    store.add(vec![new_job("any")]).await.unwrap();
    let copy = copy_of(folder.path());
    let log = fs::OpenOptions::new()
        .write(true)
        .open(copy.path().join("jobs.db-wal"))
        .unwrap();
    log.set_len(log.metadata().unwrap().len() - 100).unwrap();
    assert_eq!(
        open(copy.path()).count().await.unwrap(),
        [(Status::Pending, 50)]
    );
}

#[tokio::test]
async fn what_is_damaged_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    store.close().await;
    let whole = fs::read(folder.path().join("jobs.db")).unwrap();
    let check = |spoiled: &[u8], expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.db");
        fs::write(&file, spoiled).unwrap();
        let refusal = refusal(folder.path());
        assert!(refusal.contains(expected), "{refusal}");
        assert!(
            refusal.contains("jobs.db") && refusal.contains("copy"),
            "{refusal}"
        );
        assert!(fs::read(file).unwrap() == spoiled);
    };
    check(b"", "it is empty");
    check(b"SQLite format 3\0", "not a database");
    check(&vec![0; whole.len()], "begins with `\\x00");
    check(b"nonsense, and more of it", "begins with `nonsense");
    check(&whole[..whole.len() / 2], "is damaged");
    let mut flipped = whole.clone();
    flipped[4_096..]
        .chunks_mut(4_096)
        .for_each(|page| page[..64].fill(0xff));
    check(&flipped, "is damaged");
    let mut foreign = whole;
    foreign[68..72].fill(0);
    check(&foreign, "none of jobs");
}

#[tokio::test]
async fn a_log_without_its_head_or_its_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _store = filled(folder.path()).await;
    let copy = copy_of(folder.path());
    for from in [0, 9, 24] {
        let copy = copy_of(folder.path());
        overwrite(&copy.path().join("jobs.db-wal"), from, &[0x55; 8]);
        assert!(refusal(copy.path()).contains("the head of its log"));
    }
    fs::remove_file(copy.path().join("jobs.db")).unwrap();
    assert!(refusal(copy.path()).contains("it is gone"));
    assert!(!copy.path().join("jobs.db").exists());
}

#[test]
fn what_a_crash_has_left_half_made_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs.db.new"), "half").unwrap();
    fs::write(folder.path().join("jobs.db.new-journal"), "half").unwrap();
    drop(open(folder.path()));
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["jobs.db"]);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let _store = open(folder.path());
    for name in ["jobs.db", "jobs.db-wal"] {
        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let connection = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
    connection
        .execute_batch("PRAGMA user_version = 999")
        .unwrap();
    drop(connection);
    let refusal = refusal(folder.path());
    assert!(
        refusal.contains("version 999") && refusal.contains("later program"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_database_of_the_first_version_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(include_str!("version_1.sql"))
        .unwrap();
    drop(connection);
    let store = open(folder.path());
    let id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let job = store.get(id, None).await.unwrap().unwrap();
    assert_eq!((job.plugin, job.status), (plugin("any"), Status::Success));
    let result = job.outcome.unwrap().unwrap().result;
    assert_eq!(
        result,
        Some(StoredResult::Inline(Bytes::from_static(b"{}")))
    );
    assert_eq!(store.since(), at(0));
    assert_eq!(store.unused(vec![digest(0x11)]).await.unwrap(), []);
}
