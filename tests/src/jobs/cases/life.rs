//! The life of the store itself: opened again, left in the middle, shared by hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead::jobs::{HostSeen, NewJob, Status};
use chrono::{DurationRound as _, TimeDelta, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{HOST, OTHER, analysis, hours, millis, plugin, shown, success, wish};

pub async fn everything_is_there_after_it_was_opened_again(bench: &Bench) {
    let mut all = vec![bench.get(bench.add(bench.job("wait")).await).await];
    all.push(bench.running(bench.job("decode")).await);
    for status in [Status::Success, Status::Failed, Status::Cancelled] {
        all.push(bench.ended(bench.job("decode"), status).await);
    }
    let noted = analysis("decode", bench.now());
    bench.store().note(vec![noted.clone()]).await.unwrap();
    all.push(noted);
    let since = bench.store().since();
    for _ in 0..3 {
        bench.reopen().await;
        for record in &all {
            assert_eq!(shown(&bench.get(record.id).await), shown(record));
        }
        assert_eq!(bench.all().await.len(), all.len());
        assert_eq!(bench.store().since(), since);
    }
    bench.succeed(all[1].lease()).await;
    bench.claim_one("wait").await;
}

pub async fn it_knows_the_time(bench: &Bench) {
    let store = bench.store();
    let time = store.time().await.unwrap();
    let off = (time - Utc::now()).abs();
    assert!(off < TimeDelta::minutes(1), "the clock is {off} off");
    assert!(store.since() <= time);
    assert_eq!(bench.other().since(), store.since());
    let whole = time.duration_trunc(millis(1)).unwrap();
    assert_eq!(time, whole, "whole milliseconds");
}

pub async fn it_has_not_failed(bench: &Bench) {
    bench.add(bench.job("decode")).await;
    let store = bench.store();
    let failed = tokio::time::timeout(Duration::from_millis(20), store.failed());
    assert!(failed.await.is_err(), "nothing has happened");
}

fn seen(id: Uuid, plugins: &[&str], bench: &Bench) -> HostSeen {
    HostSeen {
        id,
        plugins: plugins.iter().map(|name| plugin(name)).collect(),
        at: bench.now(),
    }
}

async fn beat(bench: &Bench, host: &HostSeen, alive_for: TimeDelta) -> Vec<HostSeen> {
    let since = host.at - alive_for;
    let alive = bench.store().heartbeat(host.clone(), since).await;
    let mut alive = alive.unwrap();
    alive.sort_by_key(|host| host.id);
    alive
}

pub async fn hosts_that_live_are_known(bench: &Bench) {
    let first = seen(HOST, &["decode", "hash"], bench);
    assert_eq!(
        beat(bench, &first, hours(1)).await,
        std::slice::from_ref(&first)
    );
    bench.pass(millis(10_000));
    let second = seen(OTHER, &[], bench);
    let other = bench.other();
    let mut alive = other.heartbeat(second.clone(), first.at).await.unwrap();
    alive.sort_by_key(|host| host.id);
    assert_eq!(alive, [first, second.clone()]);
    bench.pass(millis(10_000));
    let again = seen(HOST, &["hash"], bench);
    let both = [again.clone(), second.clone()];
    assert_eq!(beat(bench, &again, millis(10_000)).await, both);
    assert_eq!(beat(bench, &again, millis(9_999)).await, both[..1]);
    bench.reopen().await;
    assert_eq!(beat(bench, &again, millis(10_000)).await, both);
}

pub async fn a_host_that_was_silent_for_a_day_is_forgotten(bench: &Bench) {
    let silent = seen(OTHER, &["decode"], bench);
    beat(bench, &silent, hours(1)).await;
    bench.pass(hours(23));
    let here = seen(HOST, &[], bench);
    let both = [here, silent];
    assert_eq!(beat(bench, &both[0], hours(48)).await, both);
    bench.pass(hours(2));
    let here = seen(HOST, &[], bench);
    assert_eq!(
        beat(bench, &here, hours(48)).await,
        std::slice::from_ref(&here)
    );
    assert_eq!(beat(bench, &here, hours(48)).await, [here]);
}

/// Polls `count` futures a few times each, by turns less and more often, and drops them.
async fn dropped<F: Future + Send + 'static>(count: u32, make: impl Fn(u32) -> F)
where
    F::Output: Send,
{
    for number in 0..count {
        let future = Box::pin(make(number));
        let pause = Duration::from_micros(u64::from(number) * 120);
        // Whether it was ready by then is as it may be.
        let _ = tokio::time::timeout(pause, future).await;
    }
}

pub async fn an_add_that_is_dropped_leaves_no_half(bench: &Bench) {
    const BATCH: usize = 30;
    dropped(40, |number| {
        let jobs: Vec<NewJob> = (0..BATCH)
            .map(|_| NewJob {
                request_id: number.to_string(),
                ..bench.job("decode")
            })
            .collect();
        let store = bench.store();
        async move { store.add(jobs).await }
    })
    .await;
    bench.reopen().await;
    let mut batches: BTreeMap<String, usize> = BTreeMap::new();
    for job in bench.all().await {
        *batches.entry(job.request_id).or_default() += 1;
    }
    for (number, count) in batches {
        assert_eq!(count, BATCH, "batch {number}");
    }
    bench.add(bench.job("decode")).await;
}

pub async fn a_claim_that_is_dropped_leaves_no_half(bench: &Bench) {
    bench
        .add_all((0..200).map(|_| bench.job("decode")).collect())
        .await;
    dropped(30, |_| {
        let store = bench.store();
        let wanted = wish(&[("decode", 5)], bench.now());
        async move { store.claim(wanted).await }
    })
    .await;
    bench.reopen().await;
    for job in bench.all().await {
        let expected = match job.status {
            Status::Pending => (0, 0, None, false),
            Status::Running => (1, 1, Some(HOST), true),
            other => panic!("{other:?} was never asked"),
        };
        let is_leased = job.leased_until.is_some();
        assert_eq!((job.attempt, job.fence, job.host, is_leased), expected);
    }
    let waiting = bench.store().count().await.unwrap();
    let waiting = waiting
        .iter()
        .find(|(status, _)| *status == Status::Pending);
    let claimed = bench.claim("decode", 500).await.len() as u64;
    assert_eq!(claimed, waiting.map_or(0, |(_, count)| *count));
}

pub async fn a_finish_that_is_dropped_leaves_no_half(bench: &Bench) {
    let mut leases = Vec::new();
    for _ in 0..30 {
        leases.push(bench.running(bench.job("decode")).await.lease());
    }
    let now = bench.pass(millis(9));
    dropped(30, |number| {
        let store = bench.store();
        let over = success(leases[number as usize], now);
        async move { store.finish(over).await }
    })
    .await;
    bench.reopen().await;
    for lease in leases {
        let job = bench.get(lease.job).await;
        let is_over = job.status == Status::Success;
        assert!(is_over || job.status == Status::Running);
        assert_eq!(job.finished_at, is_over.then_some(now));
        assert_eq!(job.outcome.is_some(), is_over);
        assert_eq!(job.host.is_none(), is_over);
        assert_eq!(bench.finish(success(lease, now)).await, !is_over);
    }
}

pub async fn many_callers_at_once_lose_nothing(bench: &Bench) {
    let each = (0..64).map(|number| {
        let handle = [bench.store(), bench.other()][number % 2].clone();
        let jobs: Vec<_> = (0..8).map(|_| bench.job("decode")).collect();
        tokio::spawn(async move {
            for job in jobs {
                let id = job.id;
                handle.add(vec![job]).await.unwrap();
                let found = handle.get(id, None).await.unwrap();
                assert!(found.is_some(), "one sees what one has written");
            }
        })
    });
    for task in join_all(each).await {
        task.unwrap();
    }
    bench.reopen().await;
    assert_eq!(bench.all().await.len(), 512);
}

pub async fn a_close_lets_what_is_under_way_end(bench: &Bench) {
    let store = bench.store();
    let jobs: Vec<_> = (0..20).map(|_| bench.job("decode")).collect();
    let expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let adds: Vec<_> = jobs.into_iter().map(|job| store.add(vec![job])).collect();
    let mut adds = join_all(adds);
    // All are under way once the first of them has been asked for.
    let _ = futures_util::poll!(&mut adds);
    let (added, ()) = futures_util::join!(adds, store.close());
    bench.reopen().await;
    for (id, added) in expected.into_iter().zip(added) {
        let is_there = bench.store().get(id, None).await.unwrap().is_some();
        assert!(is_there || added.is_err(), "{id} was acknowledged");
    }
}
