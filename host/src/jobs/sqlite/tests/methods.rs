use super::*;
use crate::jobs::record::{Kind, Record};
use crate::jobs::store::{
    Added, CallbackEnd, Cancelled, Forget, HandBack, Held, HostSeen, Idempotency, JobStore,
    Listing, Reclaim, Renewal, Retried, StoreError,
};

fn lease(job: &NewJob) -> Lease {
    let (job, fence) = (job.id, 1);
    Lease { job, fence }
}

async fn get(store: &SqliteStore, id: Uuid) -> Record {
    store.get(id, None).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_job_comes_back_as_it_was_put_and_finished() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = NewJob {
        callback_url: Some("https://example.com/".to_owned()),
        ..claimed("any")
    };
    store.add(vec![job.clone()]).await.unwrap();
    let running = get(&store, job.id).await;
    assert_eq!(
        (running.status, running.attempt, running.fence),
        (Status::Running, 1, 1)
    );
    assert_eq!(
        (running.host, running.leased_until),
        (Some(HOST), Some(at(30_000)))
    );
    assert_eq!(
        (running.options, running.deadline),
        (job.options.clone(), job.deadline)
    );
    assert_eq!(running.started_at, Some(at(0)));

    assert!(store.finish(success(lease(&job), at(9))).await.unwrap());
    assert!(
        !store.finish(success(lease(&job), at(9))).await.unwrap(),
        "it is over"
    );
    store.close().await;
    let store = open(folder.path());
    let ended = get(&store, job.id).await;
    assert_eq!(
        (ended.status, ended.finished_at),
        (Status::Success, Some(at(9)))
    );
    assert_eq!((ended.host, ended.leased_until), (None, None));
    assert_eq!(ended.log.unwrap().get(), "[1]");
    assert_eq!(ended.generation.as_deref(), Some("0123456789ab"));
    let found = ended.outcome.unwrap().unwrap();
    assert_eq!(
        (found.result, found.attachments),
        (output().result, output().attachments)
    );
    assert_eq!(ended.callback.unwrap().due, Some(at(9)));

    let listed = store
        .list(Listing {
            limit: 9,
            ..Listing::default()
        })
        .await
        .unwrap();
    let [listed] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert!(listed.options.is_none() && listed.log.is_none());
    assert!(
        listed
            .outcome
            .as_ref()
            .unwrap()
            .as_ref()
            .unwrap()
            .result
            .is_none()
    );
    assert_eq!(store.count().await.unwrap(), [(Status::Success, 1)]);
}

#[tokio::test]
async fn a_result_among_the_payloads_is_needed_until_its_job_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = claimed("any");
    store.add(vec![job.clone()]).await.unwrap();
    let result = StoredResult::Payload {
        sha256: digest(3),
        bytes: 70_000,
    };
    let mut end = success(lease(&job), at(9));
    end.outcome = Ok(StoredOutput {
        result: Some(result.clone()),
        ..output()
    });
    store.finish(end).await.unwrap();
    assert_eq!(
        get(&store, job.id).await.outcome.unwrap().unwrap().result,
        Some(result)
    );
    let all = [1, 2, 3, 4].map(digest);
    assert_eq!(store.unused(all.to_vec()).await.unwrap(), [digest(4)]);
    let forget = Forget {
        ended_before: at(9),
        keep: 1,
        most: 9,
    };
    assert_eq!(
        store.forget(forget).await.unwrap(),
        0,
        "it ended at that very moment"
    );
    let forget = Forget { keep: 0, ..forget };
    assert_eq!(store.forget(forget).await.unwrap(), 1);
    assert_eq!(store.unused(all.to_vec()).await.unwrap(), all);
    assert!(store.get(job.id, None).await.unwrap().is_none());
}

#[tokio::test]
async fn an_idempotency_key_is_unique_even_without_an_owner() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let keyed = |owner: Option<&str>, number| NewJob {
        owner: owner.map(str::to_owned),
        idempotency: Some(Idempotency {
            key: "k".to_owned(),
            digest: digest(number),
        }),
        ..new_job("any")
    };
    let first = keyed(None, 1);
    let jobs = vec![
        first.clone(),
        keyed(None, 1),
        keyed(None, 2),
        keyed(Some("a"), 2),
        keyed(Some(""), 2),
    ];
    let added = store.add(jobs).await.unwrap();
    assert!(matches!(added[0], Added::New));
    assert!(matches!(&added[1], Added::Known(job) if job.id == first.id));
    assert!(matches!(added[2], Added::Conflict));
    assert!(matches!((&added[3], &added[4]), (Added::New, Added::New)));
}

#[tokio::test]
async fn jobs_are_claimed_by_priority_and_handed_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = |priority, millis| NewJob {
        priority,
        not_before: at(millis),
        ..new_job("any")
    };
    let (low, late) = (job(Priority::Low, 0), job(Priority::High, 100));
    let (second, first) = (job(Priority::Normal, 5), job(Priority::Normal, 4));
    let jobs = vec![low.clone(), late.clone(), second.clone(), first.clone()];
    store.add(jobs).await.unwrap();
    let found = store.claim(claim("any", 2, at(50))).await.unwrap();
    let ids: Vec<_> = found.iter().map(|job| job.id).collect();
    assert_eq!(ids, [first.id, second.id]);
    assert_eq!(
        (found[0].status, found[0].attempt, found[0].started_at),
        (Status::Running, 1, Some(at(50)))
    );
    assert!(
        store
            .claim(claim("other", 2, at(50)))
            .await
            .unwrap()
            .is_empty()
    );
    let others = vec![plugin("any"), plugin("other")];
    assert_eq!(store.next_due(others).await.unwrap(), Some(at(0)));
    assert_eq!(store.next_due(vec![plugin("other")]).await.unwrap(), None);
    let waiting = store
        .waiting_without(vec![plugin("other")], at(99), 9)
        .await
        .unwrap();
    assert_eq!(
        waiting.iter().map(|job| job.id).collect::<Vec<_>>(),
        [low.id]
    );

    let back = HandBack {
        lease: lease(&first),
        not_before: at(60),
        is_counted: false,
        error: Some(error("crash")),
        cancelled: error("cancelled"),
        log: None,
        now: at(51),
    };
    let asked = store
        .cancel(second.id, None, error("cancelled"), at(51))
        .await
        .unwrap();
    assert!(matches!(asked, Cancelled::Asked(job) if job.cancel_asked));
    assert!(store.hand_back(back.clone()).await.unwrap());
    assert!(!store.hand_back(back.clone()).await.unwrap());
    assert!(
        store
            .hand_back(HandBack {
                lease: lease(&second),
                ..back
            })
            .await
            .unwrap()
    );
    let first = get(&store, first.id).await;
    assert_eq!(
        (first.status, first.attempt, first.not_before),
        (Status::Pending, 0, at(60))
    );
    assert!(
        first
            .outcome
            .unwrap()
            .unwrap_err()
            .error
            .get()
            .contains("crash")
    );
    let second = get(&store, second.id).await;
    assert_eq!(
        (second.status, second.finished_at),
        (Status::Cancelled, Some(at(51)))
    );
    assert!(
        second
            .outcome
            .unwrap()
            .unwrap_err()
            .error
            .get()
            .contains("cancelled")
    );
}

#[tokio::test]
async fn leases_are_prolonged_and_run_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (job, asked) = (claimed("any"), claimed("any"));
    store.add(vec![job.clone(), asked.clone()]).await.unwrap();
    store
        .cancel(asked.id, None, error("cancelled"), at(1))
        .await
        .unwrap();
    let renewal = |lease| Renewal {
        lease,
        progress: 0.5,
        log: None,
    };
    let gone = Lease {
        job: job.id,
        fence: 2,
    };
    let renewals = [lease(&job), lease(&asked), gone].map(renewal).to_vec();
    let held = store.renew(renewals, at(40_000)).await.unwrap();
    assert_eq!(held, [Held::Kept, Held::CancelAsked, Held::Lost]);
    let reclaim = |which, now| store.reclaim(which, error("cancelled"), now);
    assert_eq!(reclaim(Reclaim::Expired, at(39_999)).await.unwrap(), 0);
    assert_eq!(reclaim(Reclaim::Of(Uuid::nil()), at(1)).await.unwrap(), 0);
    assert_eq!(reclaim(Reclaim::Expired, at(40_000)).await.unwrap(), 2);
    let job = get(&store, job.id).await;
    assert_eq!(
        (job.status, job.attempt, job.not_before),
        (Status::Pending, 1, at(40_000))
    );
    assert_eq!(get(&store, asked.id).await.status, Status::Cancelled);
}

#[tokio::test]
async fn a_job_that_waits_is_ended_and_retried() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = NewJob {
        owner: Some("a".to_owned()),
        ..new_job("any")
    };
    store.add(vec![job.clone()]).await.unwrap();
    let other = || Some("b".to_owned());
    let cancelled = store
        .cancel(job.id, other(), error("x"), at(1))
        .await
        .unwrap();
    assert!(matches!(cancelled, Cancelled::Unknown));
    assert!(matches!(
        store.retry(job.id, other(), at(1)).await.unwrap(),
        Retried::Unknown
    ));
    assert!(store.get(job.id, other()).await.unwrap().is_none());
    assert!(matches!(
        store.retry(job.id, None, at(1)).await.unwrap(),
        Retried::Refused(_)
    ));
    let cancelled = store.cancel(job.id, None, error("x"), at(1)).await.unwrap();
    assert!(matches!(cancelled, Cancelled::Ended(job) if job.status == Status::Cancelled));
    assert!(!store.fail_pending(job.id, error("x"), at(2)).await.unwrap());
    let retried = store.retry(job.id, None, at(3)).await.unwrap();
    let Retried::Pending(retried) = retried else {
        panic!("{retried:?}")
    };
    assert_eq!(
        (retried.status, retried.not_before),
        (Status::Pending, at(3))
    );
    assert!(retried.outcome.is_none() && retried.finished_at.is_none());
    assert!(store.fail_pending(job.id, error("x"), at(4)).await.unwrap());
    assert_eq!(store.count().await.unwrap(), [(Status::Failed, 1)]);
}

#[tokio::test]
async fn callbacks_come_due_and_keep_their_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = NewJob {
        callback_url: Some("https://example.com/".to_owned()),
        ..claimed("any")
    };
    store.add(vec![job.clone()]).await.unwrap();
    assert!(
        store
            .due_callbacks(at(99), at(200), 9)
            .await
            .unwrap()
            .is_empty()
    );
    store.finish(success(lease(&job), at(9))).await.unwrap();
    let told = store.due_callbacks(at(99), at(200), 9).await.unwrap();
    assert_eq!(told[0].callback.as_ref().unwrap().attempts, 1);
    assert!(
        store
            .due_callbacks(at(99), at(200), 9)
            .await
            .unwrap()
            .is_empty(),
        "it is claimed"
    );
    let forget = Forget {
        ended_before: at(99),
        keep: 0,
        most: 9,
    };
    assert_eq!(
        store.forget(forget).await.unwrap(),
        0,
        "it is still to be told of"
    );
    let end = CallbackEnd {
        job: job.id,
        delivered_at: Some(at(100)),
        due: None,
        error: None,
    };
    store.end_callback(end).await.unwrap();
    assert_eq!(
        get(&store, job.id).await.callback.unwrap().delivered_at,
        Some(at(100))
    );
    assert_eq!(store.forget(forget).await.unwrap(), 1);
}

#[tokio::test]
async fn analyses_are_noted_once_and_only_when_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = claimed("any");
    store.add(vec![job.clone()]).await.unwrap();
    let running = get(&store, job.id).await;
    let refused = store
        .note(vec![Record {
            id: Uuid::now_v7(),
            ..running.clone()
        }])
        .await;
    assert!(matches!(refused, Err(StoreError::Other(_))), "{refused:?}");
    let over = |id, status| Record {
        id,
        kind: Kind::Analysis,
        status,
        finished_at: Some(at(5)),
        outcome: Some(Err(error("x"))),
        ..running.clone()
    };
    let id = Uuid::now_v7();
    store.note(vec![over(id, Status::Failed)]).await.unwrap();
    store.note(vec![over(id, Status::Cancelled)]).await.unwrap();
    assert_eq!(get(&store, id).await.status, Status::Failed);
    let listing = |kind| Listing {
        kind,
        limit: 9,
        ..Listing::default()
    };
    let listed = async |kind| store.list(listing(kind)).await.unwrap().len();
    let (all, analyses) = (listed(None).await, listed(Some(Kind::Analysis)).await);
    assert_eq!((all, analyses), (2, 1));
    assert_eq!(store.count().await.unwrap(), [(Status::Running, 1)]);
}

#[tokio::test]
async fn payloads_and_hosts_are_kept_as_long_as_somebody_wants_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let job = NewJob {
        data: Some(Bytes::from_static(b"png")),
        ..new_job("any")
    };
    store.add(vec![job]).await.unwrap();
    store
        .put_data(digest(9), Bytes::from_static(b"x"), at(0))
        .await
        .unwrap();
    store
        .put_data(digest(9), Bytes::from_static(b"x"), at(5))
        .await
        .unwrap();
    assert_eq!(store.data(digest(1)).await.unwrap().unwrap(), "png");
    assert_eq!(store.forget_data(at(5)).await.unwrap(), 0);
    assert_eq!(store.forget_data(at(6)).await.unwrap(), 1);
    assert!(store.data(digest(9)).await.unwrap().is_none());
    assert!(store.data(digest(1)).await.unwrap().is_some());

    let seen = |id, at| HostSeen {
        id: Uuid::from_u128(id),
        plugins: vec![plugin("a"), plugin("b")],
        at,
    };
    store.heartbeat(seen(1, at(0)), at(0)).await.unwrap();
    let alive = store.heartbeat(seen(2, at(9)), at(0)).await.unwrap();
    assert_eq!(alive, [seen(1, at(0)), seen(2, at(9))]);
    assert_eq!(
        store.heartbeat(seen(2, at(9)), at(1)).await.unwrap(),
        [seen(2, at(9))]
    );
    assert!(store.notices().try_recv().is_err());
    assert!(store.since() <= store.time().await.unwrap());
}
