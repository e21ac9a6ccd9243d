//! What is special to the store in PostgreSQL: many hosts on one database, a server that goes and comes back, and
//! the way to it. What every store must do is held against it elsewhere.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bulkhead::jobs::{
    Added, Claim, ConnectError, Idempotency, Image, JobStore, NewJob, Notice, PostgresStore,
    Priority, Record, StoreError, Time, digest_of,
};
use bulkhead::names::PluginName;
use bulkhead_tests::postgres::{Postgres, query};
use bulkhead_tests::wait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use futures_util::future::join_all;
use tokio::sync::broadcast::error::TryRecvError;
use uuid::Uuid;

fn now() -> Time {
    DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()
}

fn job() -> NewJob {
    let id = Uuid::now_v7();
    NewJob {
        id,
        owner: None,
        request_id: "a-request".to_owned(),
        plugin: PluginName::parse("any").unwrap(),
        mime_type: "image/png".to_owned(),
        options: None,
        image: Image {
            sha256: Some(digest_of(id.as_bytes())),
            bytes: 16,
        },
        data: None,
        priority: Priority::Normal,
        not_before: now(),
        deadline: None,
        max_attempts: 3,
        created_at: now(),
        idempotency: None,
        callback_url: None,
        claim: None,
    }
}

/// One of many submissions with this picture.
fn job_with(picture: &'static [u8]) -> NewJob {
    let image = Image {
        sha256: Some(digest_of(picture)),
        bytes: 7,
    };
    NewJob {
        image,
        data: Some(Bytes::from_static(picture)),
        ..job()
    }
}

fn claim(most: u32) -> Claim {
    Claim {
        host: Uuid::new_v4(),
        plugins: vec![(PluginName::parse("any").unwrap(), most)],
        now: now(),
        until: now() + TimeDelta::seconds(30),
    }
}

async fn connect(url: &str) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::connect(url, None).await.unwrap())
}

/// Hosts on one new database, whose url comes with them; none where there is no server.
async fn hosts(count: usize) -> Option<(String, Vec<Arc<PostgresStore>>)> {
    let url = Postgres::shared()?.database();
    let stores = join_all((0..count).map(|_| connect(&url))).await;
    Some((url, stores))
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_claim_at_once_share_the_jobs() {
    const JOBS: usize = 300;
    let Some((_, stores)) = hosts(3).await else {
        return;
    };
    let jobs: Vec<NewJob> = (0..JOBS).map(|_| job()).collect();
    let ids: HashSet<Uuid> = jobs.iter().map(|job| job.id).collect();
    stores[0].add(jobs).await.unwrap();
    let claiming = (0..9).map(|at| {
        let store = stores[at % 3].clone();
        tokio::spawn(async move {
            let mut mine: Vec<Record> = Vec::new();
            loop {
                let claimed = store.claim(claim(7)).await.unwrap();
                assert!(claimed.len() <= 7);
                mine.extend(claimed);
                // What another has picked and not yet claimed is passed over: there may be more to come.
                let plugins = vec![PluginName::parse("any").unwrap()];
                if store.next_due(plugins).await.unwrap().is_none() {
                    return mine;
                }
            }
        })
    });
    let claimed = join_all(claiming)
        .await
        .into_iter()
        .flat_map(Result::unwrap);
    let claimed: Vec<Record> = claimed.collect();
    assert!(claimed.iter().all(|it| (it.fence, it.attempt) == (1, 1)));
    assert_eq!(claimed.len(), JOBS, "no job is claimed twice");
    assert_eq!(claimed.iter().map(|it| it.id).collect::<HashSet<_>>(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_many_hosts_are_given_at_once_makes_one_job() {
    let Some((url, stores)) = hosts(2).await else {
        return;
    };
    let adding = (0..50).map(|at| {
        let store = stores[at % 2].clone();
        let mut job = job_with(b"picture");
        job.idempotency = Some(Idempotency {
            key: "one".to_owned(),
            digest: digest_of(b"it"),
        });
        tokio::spawn(async move { (job.id, store.add(vec![job]).await.unwrap()) })
    });
    let mut ids = HashSet::new();
    let mut new = 0;
    for added in join_all(adding).await {
        let (id, added) = added.unwrap();
        match &added[..] {
            [Added::New] => {
                new += 1;
                ids.insert(id);
            }
            [Added::Known(known)] => drop(ids.insert(known.id)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, ids.len()), (1, 1));
    let counts = "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM uses), (SELECT count(*) FROM data)";
    assert_eq!(query(&url, counts), "1|1|1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_whose_answer_was_lost_can_be_asked_for_again_by_its_key() {
    let Some((_, stores)) = hosts(1).await else {
        return;
    };
    let mut job = job_with(PICTURE);
    job.idempotency = Some(Idempotency {
        key: "one".to_owned(),
        digest: digest_of(b"it"),
    });
    let added = stores[0].add(vec![job.clone()]).await.unwrap();
    assert!(matches!(added[..], [Added::New]));
    let added = stores[0].add(vec![job.clone()]).await.unwrap();
    assert!(matches!(&added[..], [Added::Known(known)] if known.id == job.id));
    assert_eq!(stores[0].claim(claim(9)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_at_once_make_the_tables_once() {
    let Some((url, stores)) = hosts(8).await else {
        return;
    };
    assert_eq!(query(&url, "SELECT version FROM bulkhead_schema"), "1");
    let since: HashSet<Time> = stores.iter().map(|store| store.since()).collect();
    assert_eq!(since.len(), 1);
    query(&url, "INSERT INTO bulkhead_schema VALUES (7, now())");
    let refused = PostgresStore::connect(&url, None).await.err();
    let Some(ConnectError::Newer { found: 7, known: 1 }) = refused else {
        panic!("{refused:?}");
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_does_is_told_to_the_others() {
    let Some((_, stores)) = hosts(2).await else {
        return;
    };
    let (mut own, mut others) = (stores[0].notices(), stores[1].notices());
    // Who has just connected may not hear yet.
    let mut heard = Vec::new();
    while heard.is_empty() {
        stores[0].add(vec![job()]).await.unwrap();
        while let Ok(notice) = others.try_recv() {
            heard.push(notice);
        }
    }
    assert_eq!(heard[0], Notice::Added);
    let running = stores[0].claim(claim(1)).await.unwrap().remove(0);
    let error = || {
        let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        bulkhead::jobs::StoredError {
            error: raw("{}"),
            internal: raw("{}"),
        }
    };
    stores[0]
        .cancel(running.id, None, error(), now())
        .await
        .unwrap();
    let waiting = job();
    stores[0].add(vec![waiting.clone()]).await.unwrap();
    stores[0]
        .cancel(waiting.id, None, error(), now())
        .await
        .unwrap();
    let mut wanted = vec![Notice::CancelAsked(running.id), Notice::Ended(waiting.id)];
    while !wanted.is_empty() {
        let notice = others.recv().await.unwrap();
        wanted.retain(|it| *it != notice);
    }
    // The others have heard all of it, so the server has sent it to us too.
    stores[1].add(vec![job()]).await.unwrap();
    wait::until("the other's notice", || match own.try_recv() {
        Ok(notice) => {
            assert_eq!(notice, Notice::Added, "nobody is told his own");
            Some(())
        }
        Err(error) => {
            assert_eq!(error, TryRecvError::Empty);
            None
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_gone_is_used_again() {
    if Postgres::is_skipped() {
        return;
    }
    let server = Postgres::start();
    let store = connect(&server.database()).await;
    let kept = job();
    store.add(vec![kept.clone()]).await.unwrap();
    for end in [Postgres::stop, Postgres::kill] {
        end(&server);
        let lost = job();
        let error = store.add(vec![lost.clone()]).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        let error = store.get(kept.id, None).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        server.resume();
        assert!(store.get(kept.id, None).await.unwrap().is_some());
        assert!(store.get(lost.id, None).await.unwrap().is_none());
        store.add(vec![lost]).await.unwrap();
    }
    assert_eq!(store.claim(claim(9)).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_closed_does_what_was_handed_in_and_no_more() {
    let Some((url, stores)) = hosts(1).await else {
        return;
    };
    let store = stores[0].clone();
    let mut adding: Vec<_> = (0..20)
        .map(|_| Box::pin(async { store.add(vec![job()]).await }))
        .collect();
    // Each is handed in with the first look at it.
    for it in &mut adding {
        assert!(futures_util::poll!(it).is_pending());
    }
    store.close().await;
    for added in join_all(adding).await {
        assert!(matches!(added.unwrap()[..], [Added::New]));
    }
    assert_eq!(query(&url, "SELECT count(*) FROM jobs"), "20");
    store.add(vec![job()]).await.unwrap_err();
    store.time().await.unwrap_err();
    let own = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bulkhead' AND datname = current_database()";
    wait::until("connections to end", || {
        (query(&url, own) == "0").then_some(())
    });
}

/// Somebody who holds a lock that triggers of this test wait for, until they are dropped.
struct Holder(Child);

impl Holder {
    fn new(url: &str, trigger: &str) -> Self {
        query(
            url,
            &format!(
                "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN COALESCE(NEW, OLD); END $$; \
                 CREATE TRIGGER hold {trigger} FOR EACH ROW EXECUTE FUNCTION hold()"
            ),
        );
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--dbname", url]);
        let psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut psql = psql.unwrap();
        let stdin = psql.stdin.as_mut().unwrap();
        stdin.write_all(b"SELECT pg_advisory_lock(7);\n").unwrap();
        // Another test may hold the same in a database of its own.
        let locks = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database \
                     WHERE datname = current_database() AND locktype = 'advisory' AND objid = 7 AND granted";
        wait::until("the lock", || (query(url, locks) == "1").then_some(()));
        Self(psql)
    }

    /// Ends, and lets the others go on.
    fn release(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Waits until so many wait for locks in this database.
fn wait_for_waiting(url: &str, count: usize) {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE wait_event_type = 'Lock' AND datname = current_database()";
    wait::until(&format!("{count} that wait"), || {
        (query(url, sql) == count.to_string()).then_some(())
    });
}

const PICTURE: &[u8] = b"picture";

async fn assert_whole(store: &PostgresStore, id: Uuid) {
    assert!(store.get(id, None).await.unwrap().is_some());
    let data = store.data(digest_of(PICTURE)).await.unwrap();
    assert_eq!(data.as_deref(), Some(PICTURE), "the job needs it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_not_forgotten_while_a_job_that_needs_it_is_added() {
    let Some((url, stores)) = hosts(2).await else {
        return;
    };
    let (store, other) = (stores[0].clone(), stores[1].clone());
    let far = now() + TimeDelta::days(1);
    store
        .put_data(digest_of(PICTURE), Bytes::from_static(PICTURE), now())
        .await
        .unwrap();
    // The job is there, but for its commit: its use is not seen yet.
    let holder = Holder::new(&url, "BEFORE INSERT ON uses");
    let job = job_with(PICTURE);
    let id = job.id;
    let adding = tokio::spawn(async move { store.add(vec![job]).await.unwrap() });
    wait_for_waiting(&url, 1);
    // Whether it waits for the job or passes the payload over is all one.
    let forgetting = tokio::spawn(async move { other.forget_data(far).await.unwrap() });
    wait::until("the payload to be looked at", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";
        (forgetting.is_finished() || query(&url, waiting) == "2").then_some(())
    });
    holder.release();
    adding.await.unwrap();
    assert_eq!(forgetting.await.unwrap(), 0);
    assert_whole(&stores[0], id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_goes_while_a_job_that_needs_it_is_added_comes_back() {
    let Some((url, stores)) = hosts(2).await else {
        return;
    };
    let (store, other) = (stores[0].clone(), stores[1].clone());
    let far = now() + TimeDelta::days(1);
    store
        .put_data(digest_of(PICTURE), Bytes::from_static(PICTURE), now())
        .await
        .unwrap();
    let holder = Holder::new(&url, "BEFORE DELETE ON data");
    let forgetting = tokio::spawn(async move { other.forget_data(far).await.unwrap() });
    wait_for_waiting(&url, 1);
    let job = job_with(PICTURE);
    let id = job.id;
    let adding = tokio::spawn(async move { store.add(vec![job]).await.unwrap() });
    wait_for_waiting(&url, 2);
    holder.release();
    assert_eq!(forgetting.await.unwrap(), 1);
    adding.await.unwrap();
    assert_whole(&stores[0], id).await;
}

/// Runs openssl in a folder; false where there is none.
fn openssl(folder: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    let output = command
        .args(arguments.split(' '))
        .current_dir(folder)
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: there is no openssl, so no certificate to test TLS with");
        return false;
    };
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
    true
}

/// An authority, and the certificate of 127.0.0.1 that it has signed.
fn make_certificates(folder: &Path) -> bool {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=tests -days 2"),
    ) && openssl(
        folder,
        &format!("req {key} -keyout server.key -out server.csr -subj /CN=server"),
    ) && openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile names",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_must_show_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    if Postgres::is_skipped() || !make_certificates(folder.path()) {
        return;
    }
    let read = |name| std::fs::read(folder.path().join(name)).unwrap();
    let files = [
        ("server.key", read("server.key")),
        ("server.crt", read("server.crt")),
    ];
    let files = files.each_ref().map(|(name, bytes)| (*name, &bytes[..]));
    let server = Postgres::start_on_tcp(&["ssl=on"], &files);
    let ca = folder.path().join("ca.pem");
    let check = async |mode: &str, ca: Option<&Path>, expected: &str| {
        let url = format!("{}?sslmode={mode}", server.tcp_url());
        let found = match PostgresStore::connect(&url, ca).await {
            Ok(_store) => {
                let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                           WHERE application_name = 'bulkhead'";
                server.query(sql)
            }
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{mode}, {ca:?}: {found}");
        let others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bulkhead'";
        wait::until("it to leave", || {
            (server.query(others) == "0").then_some(())
        });
    };
    check("require", Some(&ca), "t").await;
    check("prefer", Some(&ca), "t").await;
    check("require", None, "UnknownIssuer").await;
    check("prefer", None, "UnknownIssuer").await;
    check("disable", None, "f").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    if Postgres::is_skipped() {
        return;
    }
    let server = Postgres::start_on_tcp(&[], &[]);
    let url = format!("{}?sslmode=require", server.tcp_url());
    let error = PostgresStore::connect(&url, None).await.err().unwrap();
    assert!(
        error.to_string().contains("does not support TLS"),
        "{error}"
    );
    connect(&server.tcp_url()).await;
}
