//! Jobs that end.

use bulkhead::jobs::{
    End, Lease, NewJob, Reclaim, Status, StoredAttachment, StoredOutput, StoredResult,
};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{
    HOST, back, digest, error, failure, hours, millis, output, shown, success,
};

pub async fn a_job_ends_under_its_lease(bench: &Bench) {
    let mut expected = bench.running(bench.job("decode")).await;
    let now = bench.pass(millis(70));
    let over = End {
        outcome: output("{ \"z\": 1.0,\n \"a\": \"ü\" }"),
        started_at: Some(now - millis(60)),
        generation: Some("fedcba987654".to_owned()),
        progress: 0.875,
        log: Some("[ {\"line\": 1} ]".to_owned()),
        ..success(expected.lease(), now)
    };
    assert!(bench.finish(over.clone()).await);
    expected.status = Status::Success;
    expected.host = None;
    expected.leased_until = None;
    expected.started_at = over.started_at;
    expected.finished_at = Some(now);
    expected.generation = over.generation;
    expected.progress = 0.875;
    expected.outcome = Some(over.outcome);
    expected.log = serde_json::value::RawValue::from_string(over.log.unwrap()).ok();
    assert_eq!(shown(&bench.get(expected.id).await), shown(&expected));
    bench.reopen().await;
    assert_eq!(shown(&bench.get(expected.id).await), shown(&expected));
}

pub async fn what_an_end_does_not_say_stays(bench: &Bench) {
    let job = bench.running(bench.job("decode")).await;
    let mut renewal = crate::jobs::made::renewal(job.lease());
    renewal.log = Some("[1]".to_owned());
    let until = bench.now() + hours(1);
    bench.store().renew(vec![renewal], until).await.unwrap();
    bench.pass(millis(5));
    let ended = bench.succeed(job.lease()).await;
    assert_eq!(ended.started_at, job.started_at);
    assert_eq!(ended.log.unwrap().get(), "[1]");
}

pub async fn a_late_finish_is_refused(bench: &Bench) {
    bench.add(bench.job("decode")).await;
    let late = bench.claim_one("decode").await.lease();
    bench.pass(hours(1));
    let reclaim = bench.other();
    let count = reclaim.reclaim(Reclaim::Expired, error("cancelled"), bench.now());
    assert_eq!(count.await.unwrap(), 1);
    assert!(!bench.finish(success(late, bench.now())).await, "it waits");
    let current = bench.claim_one("decode").await;
    let before = shown(&bench.get(late.job).await);
    assert!(!bench.finish(success(late, bench.now())).await, "it runs");
    assert!(!bench.hand_back(back(late, bench.now())).await);
    assert_eq!(shown(&bench.get(late.job).await), before);
    assert!(bench.finish(failure(current.lease(), bench.now())).await);
    assert!(!bench.finish(success(late, bench.now())).await, "it ended");
    assert_eq!(bench.get(late.job).await.status, Status::Failed);
}

pub async fn a_second_finish_is_refused(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    let ended = shown(&bench.succeed(lease).await);
    bench.pass(millis(9));
    assert!(!bench.finish(failure(lease, bench.now())).await);
    assert!(!bench.hand_back(back(lease, bench.now())).await);
    assert_eq!(shown(&bench.get(lease.job).await), ended);
}

pub async fn of_many_finishes_at_once_one_counts(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    let each = (0..20).map(|number| {
        let handle = [bench.store(), bench.other()][number % 2].clone();
        let over = End {
            outcome: output(&number.to_string()),
            ..success(lease, bench.now())
        };
        async move { handle.finish(over).await.unwrap() }
    });
    let counted = join_all(each).await;
    let winner = counted.iter().position(|counts| *counts).unwrap();
    assert_eq!(counted.iter().filter(|counts| **counts).count(), 1);
    let ended = bench.get(lease.job).await.outcome.unwrap().unwrap();
    let result = StoredResult::Inline(winner.to_string().into());
    assert_eq!(ended.result, Some(result));
}

pub async fn a_wrong_lease_ends_nothing(bench: &Bench) {
    let running = bench.running(bench.job("decode")).await;
    let waiting = bench.add(bench.job("other")).await;
    for (job, fence) in [
        (running.id, 0),
        (running.id, 2),
        (running.id, -1),
        (waiting, 0),
        (waiting, 1),
        (Uuid::from_u128(3), 1),
    ] {
        let lease = Lease { job, fence };
        assert!(
            !bench.finish(success(lease, bench.now())).await,
            "{lease:?}"
        );
        assert!(
            !bench.hand_back(back(lease, bench.now())).await,
            "{lease:?}"
        );
    }
    assert_eq!(bench.get(running.id).await.status, Status::Running);
    assert_eq!(bench.get(waiting).await.status, Status::Pending);
}

pub async fn a_lease_that_ran_out_counts_until_it_is_reclaimed(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    bench.pass(hours(3));
    bench.succeed(lease).await;
}

pub async fn results_and_attachments_come_back(bench: &Bench) {
    let beside = |name: &str| StoredAttachment {
        name: name.to_owned(),
        mime_type: "text/plain; charset=\"utf-8\"".to_owned(),
        bytes: i64::MAX as u64,
        sha256: digest(name),
    };
    let results = [
        StoredResult::Inline("{}".into()),
        StoredResult::Inline(format!("{{\"long\":\"{}\"}}", "x".repeat(64 * 1024)).into()),
        StoredResult::Payload {
            sha256: digest("result"),
            bytes: 1 << 40,
        },
    ];
    for result in results {
        let mut over = success(
            bench.running(bench.job("decode")).await.lease(),
            bench.now(),
        );
        over.outcome = Ok(StoredOutput {
            result: Some(result),
            attachments: vec![beside("z \u{1f5bc}.png"), beside("a.png"), beside("m.txt")],
        });
        let expected = format!("{:?}", Some(&over.outcome));
        let id = over.lease.job;
        assert!(bench.finish(over).await);
        bench.reopen().await;
        assert_eq!(format!("{:?}", bench.get(id).await.outcome), expected);
    }
}

pub async fn errors_come_back_with_what_is_internal(bench: &Bench) {
    for status in [Status::Failed, Status::Cancelled] {
        let lease = bench.running(bench.job("decode")).await.lease();
        let over = End {
            status,
            outcome: Err(error("größe \\\" 1")),
            ..failure(lease, bench.now())
        };
        let expected = format!("{:?}", Some(&over.outcome));
        assert!(bench.finish(over).await);
        let ended = bench.get(lease.job).await;
        assert_eq!(ended.status, status);
        assert_eq!(format!("{:?}", ended.outcome), expected);
    }
}

pub async fn an_attempt_beyond_the_last_is_not_counted_at_the_end(bench: &Bench) {
    let job = NewJob {
        max_attempts: 1,
        ..bench.job("decode")
    };
    bench.add(job).await;
    let first = bench.claim_one("decode").await;
    assert!(bench.hand_back(back(first.lease(), bench.now())).await);
    let second = bench.claim_one("decode").await;
    assert_eq!(second.attempt, 2);
    let ended = bench.fail(second.lease()).await;
    assert_eq!((ended.attempt, ended.fence), (1, 2));
}

pub async fn an_end_counts_whatever_else_was_asked(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    bench.cancel(lease.job).await;
    let ended = bench.succeed(lease).await;
    assert_eq!(ended.status, Status::Success);
    assert!(!ended.cancel_asked, "it does not run any more");
}

pub async fn a_job_that_waits_can_be_failed(bench: &Bench) {
    let id = bench.add(bench.job("decode")).await;
    let now = bench.pass(hours(30));
    let store = bench.store();
    assert!(store.fail_pending(id, error("gone"), now).await.unwrap());
    let ended = bench.get(id).await;
    assert_eq!(ended.status, Status::Failed);
    assert_eq!(ended.finished_at, Some(now));
    assert_eq!((ended.attempt, ended.started_at), (0, None));
    let expected = format!("{:?}", error("gone"));
    assert_eq!(
        format!("{:?}", ended.outcome.unwrap().unwrap_err()),
        expected
    );
    let again = bench.store().fail_pending(id, error("x"), now).await;
    assert!(!again.unwrap());
    assert!(bench.claim("decode", 9).await.is_empty());
}

pub async fn what_does_not_wait_is_not_failed(bench: &Bench) {
    let running = bench.running(bench.job("decode")).await;
    assert_eq!(running.host, Some(HOST));
    for id in [running.id, Uuid::from_u128(9)] {
        let store = bench.store();
        let failed = store.fail_pending(id, error("x"), bench.now());
        assert!(!failed.await.unwrap());
    }
    assert_eq!(shown(&bench.get(running.id).await), shown(&running));
}
