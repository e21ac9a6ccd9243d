//! Idempotency keys.

use bulkhead::jobs::{Added, Forget, NewJob, Status};
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{idempotency, ids, millis, shown};

fn keyed(bench: &Bench, owner: Option<&str>, key: &str, body: &str) -> NewJob {
    NewJob {
        owner: owner.map(str::to_owned),
        idempotency: idempotency(key, body),
        ..bench.job("decode")
    }
}

async fn add(bench: &Bench, job: NewJob) -> Added {
    bench.store().add(vec![job]).await.unwrap().remove(0)
}

fn known(added: &Added) -> Option<Uuid> {
    match added {
        Added::Known(was) => Some(was.id),
        Added::New | Added::Conflict => None,
    }
}

pub async fn the_same_key_is_the_job_of_then(bench: &Bench) {
    let first = keyed(bench, None, "key", "body");
    let id = first.id;
    assert!(matches!(add(bench, first).await, Added::New));
    let lease = bench.claim_one("decode").await.lease();
    bench.succeed(lease).await;
    bench.reopen().await;
    let Added::Known(was) = add(bench, keyed(bench, None, "key", "body")).await else {
        panic!("the key is known");
    };
    assert_eq!(shown(&was), shown(&bench.get(id).await));
    assert_eq!(was.status, Status::Success);
    assert_eq!(bench.all().await.len(), 1);
}

pub async fn the_same_key_of_another_body_conflicts(bench: &Bench) {
    bench.add(keyed(bench, None, "key", "body")).await;
    let added = add(bench, keyed(bench, None, "key", "another")).await;
    assert!(matches!(added, Added::Conflict), "{added:?}");
    assert_eq!(bench.all().await.len(), 1);
}

pub async fn keys_are_each_owners_own(bench: &Bench) {
    let owners = [None, Some("anna"), Some("bert"), Some("")];
    let mut first = Vec::new();
    for owner in owners {
        first.push(bench.add(keyed(bench, owner, "key", "body")).await);
    }
    for (owner, id) in owners.into_iter().zip(&first) {
        let again = add(bench, keyed(bench, owner, "key", "body")).await;
        assert_eq!(known(&again), Some(*id), "{owner:?}: {again:?}");
    }
    bench.add(keyed(bench, None, "Key", "body")).await;
    bench.add(keyed(bench, None, "key ", "body")).await;
    assert_eq!(bench.all().await.len(), 6);
}

pub async fn fifty_at_once_give_one_job(bench: &Bench) {
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let job = keyed(bench, None, "key", "body");
            let handle = [bench.store(), bench.other()][number % 2].clone();
            tokio::spawn(async move { (job.id, handle.add(vec![job]).await.unwrap().remove(0)) })
        })
        .collect();
    let mut new = Vec::new();
    let mut again = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (id, Added::New) => new.push(id),
            (_, Added::Known(was)) => again.push(was.id),
            (_, Added::Conflict) => panic!("one body conflicts with itself"),
        }
    }
    assert_eq!(new.len(), 1, "one is new");
    assert_eq!(again, vec![new[0]; 49]);
    assert_eq!(ids(&bench.all().await), new);
}

pub async fn a_batch_that_says_a_key_twice_gives_one_job(bench: &Bench) {
    let batch = vec![
        keyed(bench, None, "key", "body"),
        keyed(bench, None, "key", "body"),
        keyed(bench, None, "key", "other"),
    ];
    let first = batch[0].id;
    let added = bench.store().add(batch).await.unwrap();
    assert!(matches!(added[0], Added::New), "{added:?}");
    assert_eq!(known(&added[1]), Some(first), "{added:?}");
    assert!(matches!(added[2], Added::Conflict), "{added:?}");
    assert_eq!(ids(&bench.all().await), [first]);
}

pub async fn jobs_without_keys_are_never_the_same(bench: &Bench) {
    bench
        .add_all(vec![bench.job("decode"), bench.job("decode")])
        .await;
    bench.add(bench.job("decode")).await;
    assert_eq!(bench.all().await.len(), 3);
}

pub async fn a_key_ends_with_its_job(bench: &Bench) {
    let job = keyed(bench, None, "key", "body");
    bench.ended(job, Status::Success).await;
    let forget = Forget {
        ended_before: bench.pass(millis(1)),
        keep: u64::MAX >> 1,
        most: 10,
    };
    assert_eq!(bench.store().forget(forget).await.unwrap(), 1);
    bench.add(keyed(bench, None, "key", "another")).await;
}
