//! Jobs that are claimed.

use std::collections::BTreeSet;

use bulkhead::jobs::{Claim, NewJob, Priority, Status};
use chrono::TimeDelta;

use crate::jobs::Bench;
use crate::jobs::made::{HOST, OTHER, back, hours, ids, millis, plugin, record_of, shown, wish};

pub async fn a_claim_says_who_and_until_when(bench: &Bench) {
    let job = bench.job("decode");
    let mut expected = record_of(&job);
    bench.add(job).await;
    let now = bench.pass(millis(250));
    let claimed = bench.claim_one("decode").await;
    expected.status = Status::Running;
    expected.attempt = 1;
    expected.fence = 1;
    expected.host = Some(HOST);
    expected.leased_until = Some(now + TimeDelta::seconds(30));
    expected.started_at = Some(now);
    assert_eq!(shown(&claimed), shown(&expected));
    assert_eq!(shown(&bench.get(claimed.id).await), shown(&expected));
}

pub async fn claims_are_by_priority_then_time_then_id(bench: &Bench) {
    let job = |priority, late| NewJob {
        priority,
        not_before: bench.now() - millis(late),
        ..bench.job("decode")
    };
    let jobs = vec![
        job(Priority::Low, 90),
        job(Priority::Normal, 5),
        job(Priority::Normal, 5),
        job(Priority::High, 0),
        job(Priority::Normal, 50),
        job(Priority::High, 1),
        job(Priority::Normal, 5),
    ];
    let expected = [5, 3, 4, 1, 2, 6, 0].map(|place| jobs[place].id);
    let mut mixed = jobs;
    mixed.reverse();
    bench.add_all(mixed).await;
    for id in expected {
        let claimed = bench.claim("decode", 1).await;
        assert_eq!(ids(&claimed), [id]);
    }
}

pub async fn one_claim_takes_the_first(bench: &Bench) {
    let jobs: Vec<NewJob> = (0..9).map(|_| bench.job("decode")).collect();
    let first: BTreeSet<_> = jobs[..4].iter().map(|job| job.id).collect();
    bench.add_all(jobs).await;
    let claimed: BTreeSet<_> = ids(&bench.claim("decode", 4).await).into_iter().collect();
    assert_eq!(claimed, first);
}

pub async fn each_plugin_has_its_limit(bench: &Bench) {
    for name in ["a", "b", "c", "d"] {
        bench
            .add_all((0..5).map(|_| bench.job(name)).collect())
            .await;
    }
    let wanted = wish(&[("a", 2), ("b", 0), ("c", 9), ("unknown", 3)], bench.now());
    let claimed = bench.store().claim(wanted).await.unwrap();
    let count = |name| claimed.iter().filter(move |job| job.plugin == plugin(name));
    let counts = ["a", "b", "c", "d"].map(|name| count(name).count());
    assert_eq!(counts, [2, 0, 5, 0]);
}

pub async fn only_named_plugins_are_claimed(bench: &Bench) {
    bench.add(bench.job("decode")).await;
    assert!(bench.claim("decod", 9).await.is_empty());
    assert!(bench.claim("decode2", 9).await.is_empty());
    let nothing = wish(&[], bench.now());
    assert!(bench.store().claim(nothing).await.unwrap().is_empty());
    assert_eq!(bench.claim("decode", 9).await.len(), 1);
}

pub async fn no_job_is_claimed_before_its_time(bench: &Bench) {
    let job = NewJob {
        priority: Priority::High,
        not_before: bench.now() + millis(100),
        ..bench.job("decode")
    };
    let early = bench.add(job).await;
    let due = bench.add(bench.job("decode")).await;
    assert_eq!(ids(&bench.claim("decode", 9).await), [due]);
    bench.pass(millis(99));
    assert!(bench.claim("decode", 9).await.is_empty());
    bench.pass(millis(1));
    assert_eq!(ids(&bench.claim("decode", 9).await), [early]);
}

pub async fn a_clock_that_goes_back_claims_nothing_early(bench: &Bench) {
    let id = bench.add(bench.job("decode")).await;
    bench.pass(hours(-1));
    assert!(bench.claim("decode", 9).await.is_empty());
    let due = bench
        .store()
        .next_due(vec![plugin("decode")])
        .await
        .unwrap();
    assert_eq!(due, Some(bench.now() + hours(1)));
    bench.pass(hours(1));
    assert_eq!(ids(&bench.claim("decode", 9).await), [id]);
}

pub async fn attempt_and_fence_rise_with_every_claim(bench: &Bench) {
    let job = NewJob {
        max_attempts: 2,
        ..bench.job("decode")
    };
    bench.add(job).await;
    for round in 1..=4 {
        bench.pass(millis(1));
        let claimed = bench.claim_one("decode").await;
        assert_eq!((claimed.attempt, claimed.fence), (round, i64::from(round)));
        assert_eq!(claimed.max_attempts, 2);
        assert!(bench.hand_back(back(claimed.lease(), bench.now())).await);
    }
}

pub async fn what_runs_is_not_claimed_again(bench: &Bench) {
    bench.add(bench.job("decode")).await;
    bench.claim_one("decode").await;
    let wanted = Claim {
        host: OTHER,
        ..wish(&[("decode", 9)], bench.now() + hours(5))
    };
    assert!(bench.other().claim(wanted).await.unwrap().is_empty());
}

pub async fn concurrent_claims_give_every_job_once(bench: &Bench) {
    const JOBS: usize = 500;
    bench
        .add_all((0..JOBS).map(|_| bench.job("decode")).collect())
        .await;
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let handle = [bench.store(), bench.other()][number % 2].clone();
            let wanted = wish(&[("decode", 3)], bench.now());
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claimed = handle.claim(wanted.clone()).await.unwrap();
                    if claimed.is_empty() {
                        return mine;
                    }
                    assert!(claimed.len() <= 3);
                    mine.extend(claimed);
                    assert!(mine.len() <= JOBS, "jobs come again and again");
                }
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap());
    }
    let once: BTreeSet<_> = claimed.iter().map(|job| job.id).collect();
    assert_eq!((claimed.len(), once.len()), (JOBS, JOBS));
    assert!(claimed.iter().all(|job| job.fence == 1 && job.attempt == 1));
}

pub async fn jobs_are_claimed_while_they_are_added(bench: &Bench) {
    let adding = async {
        for _ in 0..60 {
            bench.add(bench.job("decode")).await;
        }
    };
    let claiming = async {
        let mut seen = BTreeSet::new();
        while seen.len() < 60 {
            for job in bench.claim("decode", 7).await {
                assert!(seen.insert(job.id), "claimed twice");
            }
            tokio::task::yield_now().await;
        }
    };
    futures_util::join!(adding, claiming);
    assert!(bench.claim("decode", 7).await.is_empty());
}

pub async fn an_ended_job_is_not_claimed(bench: &Bench) {
    for status in [Status::Success, Status::Failed, Status::Cancelled] {
        bench.ended(bench.job("decode"), status).await;
    }
    bench.pass(hours(2));
    assert!(bench.claim("decode", 9).await.is_empty());
}

pub async fn the_next_due_is_the_earliest_that_waits(bench: &Bench) {
    let now = bench.now();
    let at = |name, millis_later| NewJob {
        not_before: now + millis(millis_later),
        ..bench.job(name)
    };
    let due = async |names: &[&str]| {
        let names = names.iter().map(|name| plugin(name)).collect();
        bench.store().next_due(names).await.unwrap()
    };
    assert_eq!(due(&["a", "b"]).await, None);
    bench
        .add_all(vec![at("a", 500), at("a", 200), at("b", -700), at("c", 1)])
        .await;
    assert_eq!(due(&["a"]).await, Some(now + millis(200)));
    assert_eq!(due(&["b", "a"]).await, Some(now - millis(700)));
    assert_eq!(due(&["d"]).await, None);
    assert_eq!(due(&[]).await, None);
    bench.claim_one("b").await;
    assert_eq!(due(&["b", "a"]).await, Some(now + millis(200)));
}
