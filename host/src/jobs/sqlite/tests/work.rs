use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;
use crate::jobs::sqlite::command::Step;
use crate::jobs::store::{Added, JobStore, Listing, StoreError};

/// Keeps the writer busy until the guard is dropped.
fn hold(store: &SqliteStore) -> impl Drop + use<> {
    struct Held(Option<crossbeam_channel::Sender<()>>);
    impl Drop for Held {
        fn drop(&mut self) {
            drop(self.0.take());
        }
    }
    let (way, inbox) = crossbeam_channel::bounded::<()>(0);
    let (begun, begins) = crossbeam_channel::bounded(1);
    let work = store.threads.write(Step::Other, move |_| {
        let _ = begun.try_send(());
        let _ = inbox.recv();
        Ok(())
    });
    // Asked for by the first look at the future; its answer is of no interest.
    assert!(work.now_or_never().is_none());
    begins.recv().unwrap();
    Held(Some(way))
}

#[tokio::test]
async fn what_comes_meanwhile_is_committed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let held = hold(&store);
    let mut adds: Vec<_> = (0..100).map(|_| store.add(vec![new_job("any")])).collect();
    for add in &mut adds {
        assert!(add.now_or_never().is_none(), "nothing is committed yet");
    }
    drop(held);
    let added = join_all(adds).await;
    assert!(
        added
            .iter()
            .all(|added| matches!(added.as_deref(), Ok([Added::New])))
    );
    assert_eq!(store.commits(), 2);
}

#[tokio::test]
async fn a_command_that_fails_leaves_the_others_of_its_group_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let held = hold(&store);
    let (job, other) = (new_job("any"), new_job("any"));
    let mut adds = vec![
        store.add(vec![job.clone()]),
        store.add(vec![new_job("any"), job.clone()]),
        store.add(vec![other]),
    ];
    for add in &mut adds {
        assert!(add.now_or_never().is_none());
    }
    drop(held);
    let added = join_all(adds).await;
    assert!(
        matches!(added[1], Err(StoreError::Other(_))),
        "{:?}",
        added[1]
    );
    assert!(added[0].is_ok() && added[2].is_ok());
    assert_eq!(store.count().await.unwrap(), [(Status::Pending, 2)]);
}

#[tokio::test]
async fn a_look_waits_for_no_commit_and_sees_only_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.add(vec![new_job("any")]).await.unwrap();
    let held = hold(&store);
    let listing = Listing {
        limit: 9,
        ..Listing::default()
    };
    assert_eq!(store.list(listing).await.unwrap().len(), 1);
    drop(held);
}

#[tokio::test]
async fn a_full_disk_refuses_a_job_and_takes_it_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = claimed("any");
    store.add(vec![job.clone()]).await.unwrap();
    store.set_full(true).await;
    let large = NewJob {
        options: Some("x".repeat(100_000)),
        ..new_job("any")
    };
    let refused = store.add(vec![large.clone()]).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(
        store.count().await.unwrap(),
        [(Status::Running, 1)],
        "nothing else is lost"
    );
    store.set_full(false).await;
    assert!(store.add(vec![large]).await.is_ok());
    let lease = Lease {
        job: job.id,
        fence: 1,
    };
    assert!(store.finish(success(lease, at(9))).await.unwrap());
    assert!(store.failed().now_or_never().is_none());
}

#[tokio::test]
async fn a_panic_of_the_writer_breaks_the_store_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert!(store.failed().now_or_never().is_none());
    let broken = store
        .threads
        .write(Step::Other, |_| -> Result<(), _> { panic!("on purpose") });
    assert!(matches!(broken.await, Err(StoreError::Broken(_))));
    assert!(store.failed().await.contains("panicked"));
    let refused = store.add(vec![new_job("any")]).await;
    assert!(matches!(refused, Err(StoreError::Broken(_))));
    assert!(matches!(store.count().await, Err(StoreError::Broken(_))));
    store.close().await;
    drop(store);
    open(folder.path());
}

#[tokio::test]
async fn an_fsync_that_fails_breaks_the_store_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let fails = |_: &super::super::session::Session<'_>| {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        Err::<(), _>(rusqlite::Error::SqliteFailure(error, None).into())
    };
    let broken = store.threads.write(Step::Other, fails).await;
    assert!(matches!(broken, Err(StoreError::Broken(_))), "{broken:?}");
    assert!(store.failed().await.contains("1034"));
    assert!(matches!(store.count().await, Err(StoreError::Broken(_))));
}

#[tokio::test]
async fn a_panic_of_a_reader_is_that_looks_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for _ in 0..5 {
        let panics = store
            .threads
            .read(|_| -> Result<(), _> { panic!("on purpose") });
        assert!(matches!(panics.await, Err(StoreError::Other(_))));
    }
    assert!(store.count().await.unwrap().is_empty());
}

#[tokio::test]
async fn closing_ends_what_is_under_way_and_tidies_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    let held = hold(&store);
    let mut add = store.add(vec![new_job("any")]);
    assert!((&mut add).now_or_never().is_none());
    let mut close = store.close();
    assert!((&mut close).now_or_never().is_none());
    drop(held);
    close.await;
    assert!(add.await.is_ok());
    assert!(!folder.path().join("jobs.db-wal").exists());
    assert!(matches!(
        store.count().await,
        Err(StoreError::Unreachable(_))
    ));
    assert!(matches!(
        store.add(vec![new_job("any")]).await,
        Err(StoreError::Unreachable(_))
    ));
    assert!(store.failed().now_or_never().is_none());
    store.close().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = new_job("any");
    store.add(vec![job.clone()]).await.unwrap();
    let spoil = |session: &super::super::session::Session<'_>| {
        session.execute("UPDATE jobs SET output = 'x'", ())
    };
    store.threads.write(Step::Other, spoil).await.unwrap();
    let Err(StoreError::Corrupt(reason)) = store.get(job.id, None).await else {
        panic!("it is read");
    };
    assert!(
        reason.contains("`output`") && reason.contains(&job.id.to_string()),
        "{reason}"
    );
}
