//! Jobs that somebody wants to end, or to run once more.

use bulkhead::jobs::{CallbackEnd, Cancelled, End, NewJob, Reclaim, Renewal, Retried, Status};
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{
    analysis, error, failure, hours, ids, millis, record_of, renewal, shown, success,
};

fn owned(bench: &Bench, owner: &str) -> NewJob {
    NewJob {
        owner: Some(owner.to_owned()),
        ..bench.job("decode")
    }
}

pub async fn a_job_that_waits_ends_at_once(bench: &Bench) {
    let job = bench.job("decode");
    let mut expected = record_of(&job);
    let id = bench.add(job).await;
    expected.finished_at = Some(bench.pass(millis(11)));
    expected.status = Status::Cancelled;
    expected.outcome = Some(Err(error("cancelled")));
    let Cancelled::Ended(record) = bench.cancel(id).await else {
        panic!("it did not run");
    };
    assert_eq!(shown(&record), shown(&expected));
    assert_eq!(shown(&bench.get(id).await), shown(&expected));
    bench.pass(hours(1));
    assert!(bench.claim("decode", 9).await.is_empty());
}

pub async fn a_job_that_runs_is_asked_to_end(bench: &Bench) {
    let mut expected = bench.running(bench.job("decode")).await;
    expected.cancel_asked = true;
    for _ in 0..2 {
        bench.pass(millis(1));
        let Cancelled::Asked(record) = bench.cancel(expected.id).await else {
            panic!("it runs");
        };
        assert_eq!(shown(&record), shown(&expected));
    }
    bench.reopen().await;
    assert_eq!(shown(&bench.get(expected.id).await), shown(&expected));
    let over = End {
        status: Status::Cancelled,
        ..failure(expected.lease(), bench.now())
    };
    assert!(bench.finish(over).await);
    assert_eq!(bench.get(expected.id).await.status, Status::Cancelled);
}

pub async fn what_has_ended_stays_as_it_is(bench: &Bench) {
    for status in [Status::Success, Status::Failed, Status::Cancelled] {
        let ended = bench.ended(bench.job("decode"), status).await;
        bench.pass(millis(5));
        let Cancelled::Ended(record) = bench.cancel(ended.id).await else {
            panic!("{status:?} is the end");
        };
        assert_eq!(shown(&record), shown(&ended));
        assert_eq!(shown(&bench.get(ended.id).await), shown(&ended));
    }
}

pub async fn an_unknown_job_is_not_cancelled(bench: &Bench) {
    let unknown = bench.cancel(Uuid::from_u128(1)).await;
    assert!(matches!(unknown, Cancelled::Unknown), "{unknown:?}");
}

pub async fn nobody_cancels_the_job_of_another(bench: &Bench) {
    let id = bench.add(owned(bench, "anna")).await;
    let nobodys = bench.add(bench.job("decode")).await;
    let cancel = async |id, owner: &str| {
        let owner = Some(owner.to_owned());
        let store = bench.store();
        let asked = store.cancel(id, owner, error("x"), bench.now());
        asked.await.unwrap()
    };
    assert!(matches!(cancel(id, "bert").await, Cancelled::Unknown));
    assert!(matches!(cancel(nobodys, "bert").await, Cancelled::Unknown));
    assert_eq!(bench.get(id).await.status, Status::Pending);
    assert!(matches!(cancel(id, "anna").await, Cancelled::Ended(_)));
    assert_eq!(bench.get(nobodys).await.status, Status::Pending);
}

pub async fn cancel_and_claim_at_once_agree(bench: &Bench) {
    for _ in 0..25 {
        let id = bench.add(bench.job("decode")).await;
        let other = bench.other();
        let cancel = other.cancel(id, None, error("cancelled"), bench.now());
        let (cancelled, claimed) = futures_util::join!(cancel, bench.claim("decode", 1));
        let record = bench.get(id).await;
        match cancelled.unwrap() {
            Cancelled::Ended(_) => assert_eq!(
                (record.status, claimed.len()),
                (Status::Cancelled, 0),
                "{record:?}"
            ),
            Cancelled::Asked(_) => {
                assert!(record.cancel_asked && ids(&claimed) == [id], "{record:?}");
                bench.succeed(record.lease()).await;
            }
            Cancelled::Unknown => panic!("it is there"),
        }
    }
}

pub async fn a_job_that_failed_runs_once_more(bench: &Bench) {
    for status in [Status::Failed, Status::Cancelled] {
        let mut job = bench.job("decode");
        job.callback_url = Some("https://example.com".to_owned());
        let mut expected = record_of(&job);
        expected.fence = 1;
        let lease = bench.running(job).await.lease();
        let sign = Renewal {
            log: Some("[1]".to_owned()),
            ..renewal(lease)
        };
        let store = bench.store();
        let held = store.renew(vec![sign], bench.now() + hours(1));
        held.await.unwrap();
        let over = End {
            status,
            ..failure(lease, bench.now())
        };
        assert!(bench.finish(over).await);
        tell(bench, lease.job).await;
        expected.not_before = bench.pass(hours(2));
        let retried = bench.store().retry(lease.job, None, bench.now()).await;
        let Retried::Pending(record) = retried.unwrap() else {
            panic!("{status:?} can be retried");
        };
        assert_eq!(shown(&record), shown(&expected));
        bench.reopen().await;
        assert_eq!(shown(&bench.get(lease.job).await), shown(&expected));
        let again = bench.claim_one("decode").await;
        assert_eq!((again.attempt, again.fence), (1, 2));
        bench.succeed(again.lease()).await;
        tell(bench, lease.job).await;
    }
}

async fn tell(bench: &Bench, job: Uuid) {
    let store = bench.store();
    let due = store.due_callbacks(bench.now(), bench.now() + hours(1), 9);
    assert_eq!(ids(&due.await.unwrap()), [job]);
    let told = CallbackEnd {
        job,
        delivered_at: Some(bench.now()),
        due: None,
        error: None,
    };
    store.end_callback(told).await.unwrap();
}

pub async fn a_job_cancelled_while_it_ran_can_be_retried(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    bench.cancel(lease.job).await;
    bench.pass(hours(1));
    let store = bench.store();
    let reclaimed = store.reclaim(Reclaim::Expired, error("cancelled"), bench.now());
    assert_eq!(reclaimed.await.unwrap(), 1);
    store.retry(lease.job, None, bench.now()).await.unwrap();
    let again = bench.claim_one("decode").await;
    assert!(!again.cancel_asked, "nobody wants the new run to end");
    let held = store.renew(vec![renewal(again.lease())], bench.now() + hours(1));
    assert_eq!(held.await.unwrap(), [bulkhead::jobs::Held::Kept]);
}

pub async fn what_has_not_failed_is_not_retried(bench: &Bench) {
    let waiting = bench.add(bench.job("other")).await;
    let running = bench.running(bench.job("decode")).await.id;
    let done = bench.ended(bench.job("decode"), Status::Success).await.id;
    for id in [waiting, running, done] {
        let before = shown(&bench.get(id).await);
        let retried = bench.store().retry(id, None, bench.pass(millis(1))).await;
        let Retried::Refused(record) = retried.unwrap() else {
            panic!("{before} was retried");
        };
        assert_eq!(shown(&record), before);
        assert_eq!(shown(&bench.get(id).await), before);
    }
    let store = bench.store();
    let unknown = store.retry(Uuid::from_u128(1), None, bench.now());
    assert!(matches!(unknown.await.unwrap(), Retried::Unknown));
}

pub async fn nobody_retries_the_job_of_another(bench: &Bench) {
    let failed = bench.ended(owned(bench, "anna"), Status::Failed).await;
    let retry = async |owner: &str| {
        let retried = bench
            .store()
            .retry(failed.id, Some(owner.to_owned()), bench.now())
            .await;
        retried.unwrap()
    };
    assert!(matches!(retry("bert").await, Retried::Unknown));
    assert_eq!(shown(&bench.get(failed.id).await), shown(&failed));
    assert!(matches!(retry("anna").await, Retried::Pending(_)));
    assert!(matches!(retry("anna").await, Retried::Refused(_)));
}

pub async fn the_attempt_before_a_retry_ends_nothing(bench: &Bench) {
    let before = bench.running(bench.job("decode")).await.lease();
    bench.fail(before).await;
    let retried = bench.store().retry(before.job, None, bench.now()).await;
    assert!(matches!(retried.unwrap(), Retried::Pending(_)));
    assert!(
        !bench.finish(success(before, bench.now())).await,
        "it waits"
    );
    bench.claim_one("decode").await;
    assert!(!bench.finish(success(before, bench.now())).await, "it runs");
    assert_eq!(bench.get(before.job).await.status, Status::Running);
}

pub async fn an_analysis_is_over_for_who_cancels(bench: &Bench) {
    let record = analysis("decode", bench.now());
    bench.store().note(vec![record.clone()]).await.unwrap();
    let Cancelled::Ended(found) = bench.cancel(record.id).await else {
        panic!("it is over");
    };
    assert_eq!(shown(&found), shown(&record));
}
