//! Callbacks: who is told of a job's end.

use bulkhead::jobs::{
    Callback, CallbackEnd, Forget, NewJob, Reclaim, Record, Retried, Status, Time,
};
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{HOST, back, error, failure, hours, ids, millis, success};

const URL: &str = "https://example.com/told";

fn told(bench: &Bench) -> NewJob {
    NewJob {
        callback_url: Some(URL.to_owned()),
        ..bench.job("decode")
    }
}

async fn due(bench: &Bench, now: Time) -> Vec<Record> {
    let until = now + hours(1);
    bench.store().due_callbacks(now, until, 100).await.unwrap()
}

async fn end(bench: &Bench, job: Uuid, delivered_at: Option<Time>, due: Option<Time>) {
    let end = CallbackEnd {
        job,
        delivered_at,
        due,
        error: due.map(|_| "answered 500".to_owned()),
    };
    bench.store().end_callback(end).await.unwrap();
}

async fn callback(bench: &Bench, job: Uuid) -> Callback {
    bench.get(job).await.callback.unwrap()
}

fn never() -> Callback {
    Callback {
        url: URL.to_owned(),
        attempts: 0,
        due: None,
        delivered_at: None,
        error: None,
    }
}

pub async fn nobody_is_told_before_the_end(bench: &Bench) {
    let id = bench.add(told(bench)).await;
    bench.add(bench.job("decode")).await;
    let later = bench.now() + hours(1000);
    assert!(due(bench, later).await.is_empty());
    let claimed = bench.claim("decode", 1).await.remove(0);
    assert!(due(bench, later).await.is_empty());
    assert!(bench.hand_back(back(claimed.lease(), bench.now())).await);
    assert!(due(bench, later).await.is_empty());
    assert_eq!(callback(bench, id).await, never());
}

/// The job has just ended: it is to be told now and no earlier, once.
async fn is_due(bench: &Bench, id: Uuid) {
    let now = bench.now();
    assert_eq!(callback(bench, id).await.due, Some(now));
    assert!(due(bench, now - millis(1)).await.is_empty());
    let found = due(bench, now).await;
    assert_eq!(ids(&found), [id]);
    let expected = Callback {
        attempts: 1,
        due: Some(now + hours(1)),
        ..never()
    };
    assert_eq!(found[0].callback, Some(expected.clone()));
    assert_eq!(callback(bench, id).await, expected);
    assert!(due(bench, now).await.is_empty(), "it is claimed");
}

pub async fn every_end_is_told(bench: &Bench) {
    for status in [Status::Success, Status::Failed, Status::Cancelled] {
        let mut job = told(bench);
        job.created_at = bench.pass(millis(10));
        is_due(bench, bench.ended(job, status).await.id).await;
    }
    let id = bench.add(told(bench)).await;
    let now = bench.pass(millis(1));
    let failed = bench.store().fail_pending(id, error("gone"), now).await;
    assert!(failed.unwrap());
    is_due(bench, id).await;
    let lease = bench.running(told(bench)).await.lease();
    bench.cancel(lease.job).await;
    let now = bench.pass(millis(1));
    assert!(bench.hand_back(back(lease, now)).await);
    is_due(bench, lease.job).await;
    let id = bench.running(told(bench)).await.id;
    bench.cancel(id).await;
    let now = bench.pass(millis(1));
    let which = Reclaim::Of(HOST);
    let count = bench.store().reclaim(which, error("cancelled"), now).await;
    assert_eq!(count.unwrap(), 1);
    is_due(bench, id).await;
}

pub async fn a_job_without_a_callback_is_never_due(bench: &Bench) {
    bench.ended(bench.job("decode"), Status::Success).await;
    bench
        .store()
        .note(vec![crate::jobs::made::analysis("decode", bench.now())])
        .await
        .unwrap();
    assert!(due(bench, bench.now() + hours(9)).await.is_empty());
}

pub async fn concurrent_tellers_claim_each_once(bench: &Bench) {
    let mut ended = Vec::new();
    for _ in 0..40 {
        ended.push(bench.ended(told(bench), Status::Cancelled).await.id);
    }
    let (now, until) = (bench.now(), bench.now() + hours(1));
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let handle = [bench.store(), bench.other()][number % 2].clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let found = handle.due_callbacks(now, until, 3).await.unwrap();
                    if found.is_empty() {
                        return mine;
                    }
                    assert!(found.len() <= 3);
                    mine.extend(ids(&found));
                    assert!(mine.len() <= 40, "they come again and again");
                }
            })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.extend(task.await.unwrap());
    }
    found.sort();
    assert_eq!(found, ended, "each once");
}

pub async fn a_teller_that_went_silent_is_followed(bench: &Bench) {
    let id = bench.ended(told(bench), Status::Success).await.id;
    assert_eq!(ids(&due(bench, bench.now()).await), [id]);
    bench.reopen().await;
    assert!(due(bench, bench.pass(millis(3_599_999))).await.is_empty());
    let found = due(bench, bench.pass(millis(1))).await;
    assert_eq!(ids(&found), [id]);
    assert_eq!(callback(bench, id).await.attempts, 2);
}

pub async fn what_was_told_is_not_told_again(bench: &Bench) {
    let id = bench.ended(told(bench), Status::Success).await.id;
    due(bench, bench.now()).await;
    let now = bench.pass(millis(5));
    end(bench, id, Some(now), None).await;
    let expected = Callback {
        attempts: 1,
        delivered_at: Some(now),
        ..never()
    };
    assert_eq!(callback(bench, id).await, expected);
    assert!(due(bench, now + hours(99)).await.is_empty());
}

pub async fn telling_is_tried_again_and_given_up(bench: &Bench) {
    let id = bench.ended(told(bench), Status::Failed).await.id;
    due(bench, bench.now()).await;
    let next = bench.now() + millis(500);
    end(bench, id, None, Some(next)).await;
    assert_eq!(
        callback(bench, id).await.error.as_deref(),
        Some("answered 500")
    );
    assert!(due(bench, next - millis(1)).await.is_empty());
    assert_eq!(ids(&due(bench, next).await), [id]);
    let given_up = CallbackEnd {
        job: id,
        delivered_at: None,
        due: None,
        error: Some("nobody listens".to_owned()),
    };
    bench.store().end_callback(given_up).await.unwrap();
    let expected = Callback {
        attempts: 2,
        error: Some("nobody listens".to_owned()),
        ..never()
    };
    assert_eq!(callback(bench, id).await, expected);
    assert!(due(bench, next + hours(99)).await.is_empty());
}

pub async fn the_end_of_an_unknown_telling_is_nothing(bench: &Bench) {
    let plain = bench.ended(bench.job("decode"), Status::Success).await;
    end(bench, plain.id, None, Some(bench.now())).await;
    end(bench, Uuid::from_u128(1), None, Some(bench.now())).await;
    assert!(due(bench, bench.now() + hours(1)).await.is_empty());
    assert!(bench.get(plain.id).await.callback.is_none());
}

pub async fn a_late_telling_does_not_touch_a_job_that_runs_again(bench: &Bench) {
    let lease = bench.running(told(bench)).await.lease();
    assert!(bench.finish(failure(lease, bench.now())).await);
    due(bench, bench.now()).await;
    let retried = bench.store().retry(lease.job, None, bench.now()).await;
    assert!(matches!(retried.unwrap(), Retried::Pending(_)));
    end(bench, lease.job, None, Some(bench.now())).await;
    assert!(due(bench, bench.now()).await.is_empty(), "it has not ended");
    assert_eq!(callback(bench, lease.job).await, never());
    let again = bench.claim_one("decode").await.lease();
    assert!(bench.finish(success(again, bench.now())).await);
    assert_eq!(ids(&due(bench, bench.now()).await), [lease.job]);
}

pub async fn a_job_is_kept_while_somebody_is_to_be_told(bench: &Bench) {
    let first = bench.ended(told(bench), Status::Success).await.id;
    bench.pass(millis(1));
    let second = bench.ended(told(bench), Status::Success).await.id;
    let plain = bench.ended(bench.job("decode"), Status::Success).await.id;
    due(bench, bench.now()).await;
    end(bench, second, Some(bench.now()), None).await;
    let forget = Forget {
        ended_before: bench.now() + hours(5),
        keep: 0,
        most: 1,
    };
    let store = bench.store();
    assert_eq!(store.forget(forget).await.unwrap(), 1, "the next is taken");
    assert_eq!(store.forget(forget).await.unwrap(), 1);
    assert_eq!(store.forget(forget).await.unwrap(), 0);
    assert_eq!(ids(&bench.all().await), [first], "not {second}, {plain}");
    end(bench, first, None, None).await;
    assert_eq!(store.forget(forget).await.unwrap(), 1);
    assert!(bench.all().await.is_empty());
}
