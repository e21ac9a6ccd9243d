//! Lists, counts, and the jobs that nobody serves.

use std::collections::BTreeSet;

use bulkhead::jobs::{Kind, Listing, NewJob, Record, Status, StoredResult};

use crate::jobs::Bench;
use crate::jobs::made::{
    analysis, digest, error, hours, ids, millis, plugin, renewal, shown, success,
};
use crate::jobs::model::listed;

const PAGE: Listing = Listing {
    owner: None,
    status: None,
    plugin: None,
    kind: None,
    before: None,
    limit: 500,
};

async fn list(bench: &Bench, listing: Listing) -> Vec<Record> {
    bench.store().list(listing).await.unwrap()
}

pub async fn the_latest_is_the_first(bench: &Bench) {
    let mut made = Vec::new();
    for _ in 0..5 {
        bench.pass(millis(3));
        made.push(bench.add(bench.job("decode")).await);
        made.push(bench.add(bench.job("decode")).await);
    }
    made.reverse();
    assert_eq!(ids(&list(bench, PAGE).await), made);
    let page = Listing { limit: 3, ..PAGE };
    assert_eq!(ids(&list(bench, page.clone()).await), made[..3]);
    let next = Listing {
        before: Some(made[2]),
        ..page
    };
    assert_eq!(ids(&list(bench, next).await), made[3..6]);
    let last = Listing {
        before: Some(made[9]),
        ..PAGE
    };
    assert!(list(bench, last).await.is_empty());
}

/// Jobs of every status, two plugins and three owners, and analyses.
async fn some_of_all(bench: &Bench) -> Vec<Record> {
    for owner in [None, Some("anna"), Some("bert")] {
        for name in ["decode", "hash"] {
            let job = || NewJob {
                owner: owner.map(str::to_owned),
                ..bench.job(name)
            };
            bench.add(job()).await;
            bench.running(job()).await;
            for status in [Status::Success, Status::Failed, Status::Cancelled] {
                bench.pass(millis(1));
                bench.ended(job(), status).await;
            }
            let mut failed = analysis(name, bench.pass(millis(1)));
            failed.owner = owner.map(str::to_owned);
            let fine = analysis(name, bench.now());
            failed.status = Status::Failed;
            failed.outcome = Some(Err(error("failed")));
            bench.store().note(vec![failed, fine]).await.unwrap();
        }
    }
    list(bench, PAGE).await
}

pub async fn every_combination_of_filters(bench: &Bench) {
    let all = some_of_all(bench).await;
    assert_eq!(all.len(), 42);
    let owners = [None, Some("anna"), Some("nobody")].map(|owner| owner.map(str::to_owned));
    let plugins = [None, Some(plugin("hash")), Some(plugin("none"))];
    let kinds = [None, Some(Kind::Submitted), Some(Kind::Analysis)];
    let befores = [None, Some(all[20].id)];
    let mut statuses = vec![None];
    statuses.extend(Status::ALL.map(Some));
    for (number, owner) in owners.iter().enumerate() {
        for place in 0..plugins.len() * kinds.len() * befores.len() * statuses.len() {
            let listing = Listing {
                owner: owner.clone(),
                plugin: plugins[place % 3].clone(),
                kind: kinds[place / 3 % 3],
                before: befores[place / 9 % 2],
                status: statuses[place / 18],
                limit: if number == 0 { 4 } else { 500 },
            };
            let found = ids(&list(bench, listing.clone()).await);
            assert_eq!(found, expected(&all, &listing), "{listing:?}");
        }
    }
}

fn expected(all: &[Record], listing: &Listing) -> Vec<uuid::Uuid> {
    let is_kept = |job: &&Record| {
        (listing.owner.is_none() || listing.owner == job.owner)
            && (listing.plugin.is_none() || listing.plugin.as_ref() == Some(&job.plugin))
            && (listing.kind.is_none() || listing.kind == Some(job.kind))
            && (listing.status.is_none() || listing.status == Some(job.status))
            && listing.before.is_none_or(|before| job.id < before)
    };
    let kept = all.iter().filter(is_kept);
    kept.take(listing.limit as usize)
        .map(|job| job.id)
        .collect()
}

pub async fn a_list_is_of_one_owner(bench: &Bench) {
    let all = some_of_all(bench).await;
    let listing = Listing {
        owner: Some("anna".to_owned()),
        ..PAGE
    };
    let mine = list(bench, listing.clone()).await;
    assert_eq!(mine.len(), 12);
    assert!(mine.iter().all(|job| job.owner == listing.owner));
    assert_eq!(ids(&mine), expected(&all, &listing));
}

pub async fn results_logs_and_options_are_left_out(bench: &Bench) {
    let lease = bench.running(bench.job("decode")).await.lease();
    let mut sign = renewal(lease);
    sign.log = Some("[1]".to_owned());
    let until = bench.now() + hours(1);
    bench.store().renew(vec![sign], until).await.unwrap();
    let mut expected = vec![bench.succeed(lease).await];
    let mut over = success(bench.running(bench.job("a")).await.lease(), bench.now());
    let output = over.outcome.as_mut().unwrap();
    output.result = Some(StoredResult::Payload {
        sha256: digest("result"),
        bytes: 9,
    });
    let id = over.lease.job;
    assert!(bench.finish(over).await);
    expected.push(bench.get(id).await);
    expected.push(bench.ended(bench.job("b"), Status::Failed).await);
    expected.push(bench.running(bench.job("c")).await);
    expected.reverse();
    let found = list(bench, PAGE).await;
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(shown(found), shown(&listed(expected)));
    }
    assert_eq!(found.len(), 4);
}

pub async fn pages_lose_nothing_while_jobs_are_added(bench: &Bench) {
    let mut there = BTreeSet::new();
    for _ in 0..10 {
        bench.pass(millis(1));
        let jobs: Vec<NewJob> = (0..100).map(|_| bench.job("decode")).collect();
        there.extend(jobs.iter().map(|job| job.id));
        bench.add_all(jobs).await;
    }
    let mut seen = Vec::new();
    let mut page = Listing { limit: 37, ..PAGE };
    loop {
        bench.pass(millis(1));
        bench.add(bench.job("decode")).await;
        let found = ids(&list(bench, page.clone()).await);
        let Some(last) = found.last() else { break };
        page.before = Some(*last);
        seen.extend(found);
    }
    assert!(seen.is_sorted_by(|one, next| one > next));
    let seen: BTreeSet<_> = seen.into_iter().collect();
    let newer = seen.difference(&there).count();
    assert!(there.is_subset(&seen));
    assert_eq!(newer, 1, "only what was there before the first page");
}

pub async fn counts_are_of_what_was_submitted(bench: &Bench) {
    assert!(bench.store().count().await.unwrap().is_empty());
    bench.add(bench.job("decode")).await;
    let mut counts = bench.store().count().await.unwrap();
    assert_eq!(counts, [(Status::Pending, 1)]);
    some_of_all(bench).await;
    bench.cancel(bench.running(bench.job("a")).await.id).await;
    counts = bench.other().count().await.unwrap();
    counts.sort();
    let expected = [
        (Status::Pending, 7),
        (Status::Running, 7),
        (Status::Success, 6),
        (Status::Failed, 6),
        (Status::Cancelled, 6),
    ];
    assert_eq!(counts, expected);
}

pub async fn what_nobody_serves_is_found(bench: &Bench) {
    let at = |name, late| NewJob {
        not_before: bench.now() - millis(late),
        ..bench.job(name)
    };
    let jobs = vec![
        at("gone", 500),
        at("gone", 900),
        at("served", 800),
        at("lost", 700),
        at("gone", 100),
    ];
    let expected = [1, 3, 0].map(|place| jobs[place].id);
    bench.add_all(jobs).await;
    bench.running(at("gone", 999)).await;
    bench.ended(at("gone", 999), Status::Failed).await;
    let without = async |served: &[&str], most| {
        let served = served.iter().map(|name| plugin(name)).collect();
        let before = bench.now() - millis(300);
        let found = bench.store().waiting_without(served, before, most).await;
        ids(&found.unwrap())
    };
    assert_eq!(without(&["served", "other"], 9).await, expected);
    assert_eq!(without(&["served"], 2).await, expected[..2]);
    assert!(without(&["served", "gone", "lost"], 9).await.is_empty());
    assert_eq!(without(&[], 9).await.len(), 4, "nothing is served");
}
