//! Jobs that are added.

use std::time::Duration;

use bulkhead::jobs::{Added, Image, NewJob, Priority, Status, digest_of};
use chrono::{DateTime, TimeDelta};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{HOST, hours, idempotency, millis, record_of, shown};

/// Adds a job and looks at all of its fields, in both handles and after the store was opened anew.
async fn comes_back(bench: &Bench, job: NewJob) {
    let expected = shown(&record_of(&job));
    let owner = job.owner.clone();
    let id = bench.add(job).await;
    assert_eq!(shown(&bench.get(id).await), expected);
    let there = bench.other().get(id, owner).await.unwrap().unwrap();
    assert_eq!(shown(&there), expected);
    bench.reopen().await;
    assert_eq!(shown(&bench.get(id).await), expected);
}

pub async fn a_job_comes_back(bench: &Bench) {
    comes_back(bench, bench.job("decode")).await;
}

pub async fn every_field_comes_back(bench: &Bench) {
    let job = NewJob {
        owner: Some("Größe \"'; DROP TABLE jobs; -- 图".to_owned()),
        request_id: "\u{1f9ea} request % _ \\".to_owned(),
        mime_type: "image/x-ü+xml".to_owned(),
        options: Some("{ \"z\" : 1.0, \"a\":\t\"\\u0000 \u{1f9ea}\", \"z2\": 1e400 }".to_owned()),
        priority: Priority::Low,
        not_before: bench.now() + hours(24 * 365),
        deadline: Some(Duration::from_millis(1_234_567)),
        max_attempts: 100,
        idempotency: idempotency("key", "body"),
        callback_url: Some("https://example.com/?a=b&c=%20#d".to_owned()),
        ..bench.job("a-name-of-64-bytes-is-the-longest-that-there-can-be-abcdefghijkl")
    };
    comes_back(bench, job).await;
}

pub async fn empty_fields_come_back(bench: &Bench) {
    let job = NewJob {
        owner: Some(String::new()),
        request_id: String::new(),
        mime_type: String::new(),
        options: Some("{}".to_owned()),
        image: Image {
            bytes: 0,
            ..bench.job("a").image
        },
        deadline: Some(Duration::ZERO),
        max_attempts: 1,
        callback_url: Some(String::new()),
        ..bench.job("a")
    };
    comes_back(bench, job).await;
    let job = NewJob {
        options: None,
        ..bench.job("a")
    };
    comes_back(bench, job).await;
}

pub async fn the_greatest_numbers_come_back(bench: &Bench) {
    let job = NewJob {
        image: Image {
            bytes: i64::MAX as u64,
            ..bench.job("a").image
        },
        not_before: DateTime::from_timestamp_millis(253_402_300_799_999).unwrap(),
        deadline: Some(Duration::from_millis(1 << 52)),
        max_attempts: u32::MAX,
        ..bench.job("a")
    };
    comes_back(bench, job).await;
}

pub async fn huge_options_come_back(bench: &Bench) {
    let text = format!("{{\"text\":\"{}\"}}", "ü".repeat(512 * 1024));
    let job = NewJob {
        options: Some(text),
        ..bench.job("decode")
    };
    comes_back(bench, job).await;
}

pub async fn a_claim_on_arrival_runs_at_once(bench: &Bench) {
    let job = NewJob {
        claim: Some((HOST, bench.now() + TimeDelta::seconds(30))),
        ..bench.job("decode")
    };
    let id = job.id;
    comes_back(bench, job).await;
    let record = bench.get(id).await;
    assert_eq!(record.status, Status::Running);
    assert_eq!((record.attempt, record.fence), (1, 1));
    assert_eq!(record.host, Some(HOST));
    assert_eq!(record.started_at, Some(record.created_at));
    bench.pass(hours(1));
    assert!(bench.claim("decode", 9).await.is_empty());
    bench.succeed(record.lease()).await;
}

pub async fn an_unknown_id_is_not_found(bench: &Bench) {
    bench.add(bench.job("decode")).await;
    let unknown = Uuid::from_u128(7);
    assert!(bench.store().get(unknown, None).await.unwrap().is_none());
}

pub async fn a_job_is_its_owners_alone(bench: &Bench) {
    let owner = |name: &str| Some(name.to_owned());
    let job = NewJob {
        owner: owner("anna"),
        ..bench.job("decode")
    };
    let id = bench.add(job).await;
    let nobodys = bench.add(bench.job("decode")).await;
    let store = bench.store();
    assert!(store.get(id, owner("anna")).await.unwrap().is_some());
    assert!(store.get(id, owner("Anna")).await.unwrap().is_none());
    assert!(store.get(id, owner("")).await.unwrap().is_none());
    assert!(store.get(id, None).await.unwrap().is_some());
    assert!(store.get(nobodys, owner("anna")).await.unwrap().is_none());
}

pub async fn several_are_added_or_none(bench: &Bench) {
    let first = bench.add(bench.job("decode")).await;
    let mut jobs: Vec<NewJob> = (0..5).map(|_| bench.job("decode")).collect();
    jobs[3].id = first;
    jobs[3].request_id = "an impostor".to_owned();
    assert!(bench.store().add(jobs).await.is_err(), "the id is taken");
    assert_eq!(bench.all().await.len(), 1);
    assert_ne!(bench.get(first).await.request_id, "an impostor");
    bench.add(bench.job("decode")).await;
}

pub async fn one_that_is_refused_takes_no_other_with_it(bench: &Bench) {
    let first = bench.add(bench.job("decode")).await;
    let each = (0..40).map(|number| {
        let mut job = bench.job("decode");
        if number % 10 == 5 {
            job.id = first;
        }
        let store = bench.store();
        async move { store.add(vec![job]).await.is_ok() }
    });
    let kept = join_all(each).await;
    for (number, is_kept) in kept.into_iter().enumerate() {
        assert_eq!(is_kept, number % 10 != 5, "job {number}");
    }
    assert_eq!(bench.all().await.len(), 37);
}

pub async fn answers_are_in_the_order_of_the_jobs(bench: &Bench) {
    let keyed = |key: &str, body: &str| NewJob {
        idempotency: idempotency(key, body),
        ..bench.job("decode")
    };
    let known = bench.add(keyed("k", "one")).await;
    let batch = vec![
        keyed("n", "x"),
        keyed("k", "one"),
        keyed("k", "two"),
        bench.job("decode"),
    ];
    let added = bench.store().add(batch).await.unwrap();
    assert!(
        matches!(&added[..], [Added::New, Added::Known(was), Added::Conflict, Added::New] if was.id == known),
        "{added:?}"
    );
}

pub async fn none_are_added(bench: &Bench) {
    assert!(bench.store().add(Vec::new()).await.unwrap().is_empty());
    bench.store().note(Vec::new()).await.unwrap();
    let held = bench.store().renew(Vec::new(), bench.now()).await.unwrap();
    assert!(held.is_empty());
    assert!(bench.all().await.is_empty());
}

pub async fn a_job_can_bring_its_image(bench: &Bench) {
    let data = bytes::Bytes::from_static(b"the bytes of an image");
    let sha256 = digest_of(&data);
    let job = NewJob {
        data: Some(data.clone()),
        image: Image {
            sha256: Some(sha256),
            bytes: data.len() as u64,
        },
        ..bench.job("decode")
    };
    let twin = NewJob {
        id: bench.job("decode").id,
        ..job.clone()
    };
    bench.add_all(vec![job, twin]).await;
    assert_eq!(bench.other().data(sha256).await.unwrap(), Some(data));
    let forgotten = bench.store().forget_data(bench.now() + hours(1)).await;
    assert_eq!(forgotten.unwrap(), 0, "two jobs need it");
}

pub async fn times_are_whole_milliseconds(bench: &Bench) {
    let now = bench.now() + TimeDelta::microseconds(1500);
    let mut job = bench.job("decode");
    job.created_at = now;
    job.not_before = now;
    let id = bench.add(job).await;
    let record = bench.get(id).await;
    assert_eq!(record.created_at, bench.now() + millis(1));
    assert_eq!(record.not_before, bench.now() + millis(1));
}
