//! Leases: prolonged, handed back, reclaimed.

use bulkhead::jobs::{Claim, HandBack, Held, Lease, Reclaim, Renewal, Status};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{
    HOST, OTHER, back, error, hours, ids, millis, renewal, shown, success, wish,
};

async fn reclaim(bench: &Bench, which: Reclaim) -> u64 {
    let cancelled = error("cancelled");
    let reclaimed = bench.store().reclaim(which, cancelled, bench.now()).await;
    reclaimed.unwrap()
}

pub async fn a_lease_is_prolonged(bench: &Bench) {
    let mut expected = bench.running(bench.job("decode")).await;
    let until = bench.now() + hours(2);
    let sign = Renewal {
        progress: 0.625,
        log: Some("[\"a\",  \"ü\"]".to_owned()),
        ..renewal(expected.lease())
    };
    let held = bench.store().renew(vec![sign.clone()], until).await;
    assert_eq!(held.unwrap(), [Held::Kept]);
    expected.leased_until = Some(until);
    expected.progress = 0.625;
    expected.log = serde_json::value::RawValue::from_string(sign.log.unwrap()).ok();
    assert_eq!(shown(&bench.get(expected.id).await), shown(&expected));
    let store = bench.store();
    let held = store.renew(vec![renewal(expected.lease())], until);
    assert_eq!(held.await.unwrap(), [Held::Kept]);
    let log = bench.get(expected.id).await.log.unwrap();
    assert_eq!(log.get(), "[\"a\",  \"ü\"]", "no new log, no change");
    bench.pass(hours(1));
    assert_eq!(reclaim(bench, Reclaim::Expired).await, 0);
}

pub async fn renewals_are_answered_in_their_order(bench: &Bench) {
    let kept = bench.running(bench.job("a")).await.lease();
    let asked = bench.running(bench.job("b")).await.lease();
    let ended = bench.running(bench.job("c")).await.lease();
    bench.cancel(asked.job).await;
    bench.succeed(ended).await;
    let stale = Lease { fence: 0, ..kept };
    let unknown = Lease {
        job: Uuid::from_u128(5),
        fence: 1,
    };
    let before = shown(&bench.get(ended.job).await);
    let signs = [ended, kept, unknown, asked, stale].map(renewal).to_vec();
    let held = bench.other().renew(signs, bench.now() + hours(1)).await;
    let expected = [
        Held::Lost,
        Held::Kept,
        Held::Lost,
        Held::CancelAsked,
        Held::Lost,
    ];
    assert_eq!(held.unwrap(), expected);
    assert_eq!(shown(&bench.get(ended.job).await), before);
    let until = Some(bench.now() + hours(1));
    assert_eq!(bench.get(asked.job).await.leased_until, until);
}

pub async fn a_job_that_waits_again_has_lost_its_lease(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    assert!(bench.hand_back(back(lease, bench.now())).await);
    let held = bench.store().renew(vec![renewal(lease)], bench.now()).await;
    assert_eq!(held.unwrap(), [Held::Lost]);
    assert!(!bench.hand_back(back(lease, bench.now())).await);
    assert!(!bench.finish(success(lease, bench.now())).await);
    assert_eq!(bench.get(lease.job).await.status, Status::Pending);
}

pub async fn a_job_that_is_handed_back_waits(bench: &Bench) {
    let mut expected = bench.running(bench.job("decode")).await;
    let now = bench.pass(millis(40));
    let later = HandBack {
        not_before: now + millis(2000),
        error: Some(error("crash")),
        log: Some("[2]".to_owned()),
        ..back(expected.lease(), now)
    };
    assert!(bench.hand_back(later).await);
    let record = bench.get(expected.id).await;
    expected.status = Status::Pending;
    expected.host = None;
    expected.leased_until = None;
    expected.not_before = now + millis(2000);
    expected.outcome = Some(Err(error("crash")));
    expected.log = serde_json::value::RawValue::from_string("[2]".to_owned()).ok();
    assert_eq!(shown(&record), shown(&expected));
    assert!(bench.claim("decode", 9).await.is_empty(), "not yet");
    bench.pass(millis(2000));
    let again = bench.claim_one("decode").await;
    assert_eq!((again.attempt, again.fence), (2, 2));
    let kept = format!("{:?}", again.outcome);
    assert_eq!(
        kept,
        format!("{:?}", expected.outcome),
        "until it has another"
    );
}

pub async fn an_attempt_that_does_not_count_is_taken_back(bench: &Bench) {
    let job = bench.running(bench.job("decode")).await;
    let first = HandBack {
        error: Some(error("crash")),
        log: Some("[1]".to_owned()),
        ..back(job.lease(), bench.now())
    };
    assert!(bench.hand_back(first).await);
    let second = bench.claim_one("decode").await;
    let uncounted = HandBack {
        is_counted: false,
        ..back(second.lease(), bench.now())
    };
    assert!(bench.hand_back(uncounted).await);
    let record = bench.get(job.id).await;
    assert_eq!((record.attempt, record.fence), (1, 2));
    assert_eq!(record.log.unwrap().get(), "[1]", "as it was");
    let kept = format!("{:?}", record.outcome.unwrap().unwrap_err());
    assert_eq!(kept, format!("{:?}", error("crash")), "as it was");
    let third = bench.claim_one("decode").await;
    assert_eq!((third.attempt, third.fence), (2, 3));
}

pub async fn a_job_that_is_to_end_is_not_handed_back(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    bench.cancel(lease.job).await;
    let now = bench.pass(millis(3));
    let given = HandBack {
        error: Some(error("crash")),
        cancelled: error("gone"),
        ..back(lease, now)
    };
    assert!(bench.hand_back(given).await);
    let ended = bench.get(lease.job).await;
    assert_eq!(ended.status, Status::Cancelled);
    assert_eq!(ended.finished_at, Some(now));
    assert_eq!((ended.host, ended.leased_until), (None, None));
    let kept = format!("{:?}", ended.outcome.unwrap().unwrap_err());
    assert_eq!(kept, format!("{:?}", error("gone")));
}

pub async fn leases_that_ran_out_are_reclaimed(bench: &Bench) {
    let soon = bench.running(bench.job("decode")).await;
    let late = bench.running(bench.job("decode")).await;
    let held = vec![renewal(late.lease())];
    let until = bench.now() + hours(1);
    bench.store().renew(held, until).await.unwrap();
    let waiting = bench.add(bench.job("other")).await;
    bench.pass(TimeDelta::seconds(29));
    assert_eq!(reclaim(bench, Reclaim::Expired).await, 0);
    let now = bench.pass(TimeDelta::seconds(2));
    assert_eq!(reclaim(bench, Reclaim::Expired).await, 1);
    assert_eq!(reclaim(bench, Reclaim::Expired).await, 0);
    let mut expected = soon;
    expected.status = Status::Pending;
    expected.host = None;
    expected.leased_until = None;
    expected.not_before = now;
    assert_eq!(shown(&bench.get(expected.id).await), shown(&expected));
    assert_eq!(bench.get(late.id).await.status, Status::Running);
    assert_eq!(bench.get(waiting).await.attempt, 0);
    let again = bench.claim_one("decode").await;
    assert_eq!((again.id, again.attempt, again.fence), (expected.id, 2, 2));
}

pub async fn a_clock_that_goes_back_reclaims_nothing(bench: &Bench) {
    let job = bench.running(bench.job("decode")).await;
    bench.pass(hours(-1));
    assert_eq!(reclaim(bench, Reclaim::Expired).await, 0);
    assert_eq!(shown(&bench.get(job.id).await), shown(&job));
}

pub async fn a_host_reclaims_its_own(bench: &Bench) {
    bench
        .add_all((0..5).map(|_| bench.job("decode")).collect())
        .await;
    let mine = bench.claim("decode", 2).await;
    let others = Claim {
        host: OTHER,
        ..wish(&[("decode", 2)], bench.now())
    };
    let theirs = bench.other().claim(others).await.unwrap();
    bench.reopen().await;
    assert_eq!(reclaim(bench, Reclaim::Of(Uuid::from_u128(1))).await, 0);
    assert_eq!(reclaim(bench, Reclaim::Of(HOST)).await, 2);
    for id in ids(&mine) {
        let record = bench.get(id).await;
        assert_eq!((record.status, record.attempt), (Status::Pending, 1));
    }
    for job in theirs {
        assert_eq!(shown(&bench.get(job.id).await), shown(&job));
    }
    assert_eq!(reclaim(bench, Reclaim::Of(HOST)).await, 0);
    assert_eq!(bench.claim("decode", 9).await.len(), 3);
}

pub async fn a_reclaimed_job_that_was_to_end_has_ended(bench: &Bench) {
    for which in [Reclaim::Expired, Reclaim::Of(HOST)] {
        let job = bench.running(bench.job("decode")).await;
        bench.cancel(job.id).await;
        let now = bench.pass(hours(1));
        assert_eq!(reclaim(bench, which).await, 1);
        let ended = bench.get(job.id).await;
        assert_eq!(ended.status, Status::Cancelled, "{which:?}");
        assert_eq!(ended.finished_at, Some(now));
        assert_eq!((ended.host, ended.leased_until), (None, None));
        let kept = format!("{:?}", ended.outcome.unwrap().unwrap_err());
        assert_eq!(kept, format!("{:?}", error("cancelled")));
        assert!(bench.claim("decode", 9).await.is_empty());
    }
}

pub async fn concurrent_reclaims_count_every_job_once(bench: &Bench) {
    for _ in 0..30 {
        bench.running(bench.job("decode")).await;
    }
    let now = bench.pass(hours(1));
    let each = (0..8).map(|number| {
        let handle = [bench.store(), bench.other()][number % 2].clone();
        async move {
            let count = handle.reclaim(Reclaim::Expired, error("cancelled"), now);
            count.await.unwrap()
        }
    });
    let counts = futures_util::future::join_all(each).await;
    assert_eq!(counts.iter().sum::<u64>(), 30, "{counts:?}");
    let again = bench.claim("decode", 99).await;
    assert!(again.iter().all(|job| job.attempt == 2 && job.fence == 2));
    assert_eq!(again.len(), 30);
}
