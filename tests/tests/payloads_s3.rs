//! Payloads in S3, against a server that checks what it is sent.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

#[path = "payloads/contract.rs"]
mod contract;
#[path = "payloads/server.rs"]
mod server;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bulkhead::call::Payload;
use bulkhead::jobs::{ObjectPayloads, PayloadError, PayloadStore as _, digest_of};
use bytes::Bytes;
use contract::{Subject, sorted};
use server::{BUCKET, SECRET, Server};

fn subject(server: &Server, prefix: &str) -> Subject {
    let url = format!("s3://{BUCKET}/{prefix}");
    let store = ObjectPayloads::open(&url, &server.environment()).unwrap();
    let folder = server.bucket().join(prefix);
    Subject {
        store: Arc::new(store),
        file: Box::new(move |sha256| folder.join(format!("{sha256}"))),
    }
}

async fn put(store: &Subject, bytes: &'static [u8]) -> Result<(), PayloadError> {
    let payload = Payload::Heap(Bytes::from_static(bytes));
    store.store.put(digest_of(bytes), payload).await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_keep_to_the_contract() {
    let server = Server::start().await;
    contract::check(&subject(&server, "some/prefix")).await;
    contract::check(&subject(&server, "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_is_swept() {
    let server = Server::start().await;
    let it = subject(&server, "pages");
    fs::create_dir(server.bucket().join("pages")).unwrap();
    let digests: Vec<_> = (0..1100_u32)
        .map(|it| digest_of(&it.to_le_bytes()))
        .collect();
    for sha256 in &digests {
        fs::write((it.file)(*sha256), b"").unwrap();
        it.age(*sha256);
    }
    let (unused, needed) = digests.split_at(20);
    assert_eq!(it.sweep(needed).await, (sorted(digests.clone()), 20));
    assert!(unused.iter().all(|sha256| !(it.file)(*sha256).exists()));
    assert!(needed.iter().all(|sha256| (it.file)(*sha256).exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_deeper_is_left_to_whom_it_belongs() {
    let server = Server::start().await;
    let (outer, inner) = (subject(&server, "outer"), subject(&server, "outer/inner"));
    let sha256 = inner.put(b"of the inner one").await;
    inner.age(sha256);
    assert_eq!(outer.sweep(&[]).await, (Vec::new(), 0));
    assert_eq!(inner.sweep(&[]).await, (vec![sha256], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_but_not_for_ever() {
    let server = Server::start().await;
    let it = subject(&server, "tried");
    server.fail(503, 2);
    put(&it, b"tried").await.unwrap();
    assert_eq!(server.faults.requests.load(Ordering::SeqCst), 3);
    assert_eq!(it.get(digest_of(b"tried")).await.unwrap(), b"tried");
    server.fail(503, 1000);
    let error = put(&it, b"in vain").await.unwrap_err();
    assert!(matches!(error, PayloadError::Other(_)), "{error}");
    assert_eq!(server.faults.requests.load(Ordering::SeqCst), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_a_full_store() {
    let server = Server::start().await;
    server.fail(507, 1000);
    let error = put(&subject(&server, "full"), b"much").await.unwrap_err();
    assert!(matches!(error, PayloadError::Full(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_and_not_shown() {
    let server = Server::start().await;
    let mut environment = server.environment();
    let wrong = SECRET.to_uppercase();
    environment.insert("AWS_SECRET_ACCESS_KEY".into(), wrong.clone());
    let url = format!("s3://{BUCKET}/prefix");
    let store = ObjectPayloads::open(&url, &environment).unwrap();
    let error = store.get(digest_of(b"any")).await.unwrap_err().to_string();
    assert!(
        error.contains("403") || error.contains("SignatureDoesNotMatch"),
        "{error}"
    );
    assert!(!error.contains(&wrong), "{error}");
}
