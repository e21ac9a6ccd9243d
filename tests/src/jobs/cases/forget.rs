//! Jobs and payloads that are forgotten; analyses that are noted.

use bulkhead::jobs::{
    Forget, Image, Kind, NewJob, Record, Status, StoredAttachment, StoredOutput, StoredResult,
    digest_of,
};
use bytes::Bytes;
use uuid::Uuid;

use crate::jobs::Bench;
use crate::jobs::made::{analysis, digest, hours, ids, millis, output, shown, success};

const ALL: u64 = 1 << 40;

/// A job that ends a millisecond after the one before.
async fn next_end(bench: &Bench) -> Uuid {
    bench.pass(millis(1));
    bench.ended(bench.job("decode"), Status::Success).await.id
}

pub async fn old_ends_are_forgotten(bench: &Bench) {
    let waiting = bench.add(bench.job("other")).await;
    let running = bench.running(bench.job("other")).await.id;
    let mut ended = Vec::new();
    for _ in 0..6 {
        ended.push(next_end(bench).await);
    }
    let cut = bench.get(ended[3]).await.finished_at.unwrap();
    let forget = Forget {
        ended_before: cut,
        keep: ALL,
        most: 100,
    };
    assert_eq!(bench.store().forget(forget).await.unwrap(), 3);
    let left = [ended[5], ended[4], ended[3], running, waiting];
    assert_eq!(ids(&bench.all().await), left);
    assert_eq!(bench.store().forget(forget).await.unwrap(), 0);
    assert!(bench.store().get(ended[0], None).await.unwrap().is_none());
}

pub async fn the_oldest_end_goes_first(bench: &Bench) {
    let first = bench.running(bench.job("decode")).await;
    let second = bench.running(bench.job("decode")).await;
    bench.pass(millis(1));
    bench.succeed(second.lease()).await;
    bench.pass(millis(1));
    bench.succeed(first.lease()).await;
    let forget = Forget {
        ended_before: bench.pass(millis(1)),
        keep: ALL,
        most: 1,
    };
    assert_eq!(bench.store().forget(forget).await.unwrap(), 1);
    assert_eq!(ids(&bench.all().await), [first.id], "it ended later");
    let one = Forget {
        ended_before: bench.now() - hours(1),
        keep: 0,
        most: 0,
    };
    assert_eq!(bench.store().forget(one).await.unwrap(), 0);
}

pub async fn no_more_than_so_many_of_a_kind_are_kept(bench: &Bench) {
    let mut ended = Vec::new();
    let mut noted = Vec::new();
    let waiting = bench.add(bench.job("other")).await;
    for _ in 0..5 {
        ended.push(next_end(bench).await);
        let record = analysis("decode", bench.now());
        noted.push(record.id);
        bench.store().note(vec![record]).await.unwrap();
        bench.pass(millis(5));
    }
    let forget = Forget {
        ended_before: bench.now() - hours(1),
        keep: 2,
        most: 4,
    };
    assert_eq!(bench.store().forget(forget).await.unwrap(), 4);
    assert_eq!(bench.store().forget(forget).await.unwrap(), 2);
    assert_eq!(bench.store().forget(forget).await.unwrap(), 0);
    let left = ids(&bench.all().await);
    assert_eq!(left, [noted[4], ended[4], noted[3], ended[3], waiting]);
}

pub async fn a_clock_that_goes_back_forgets_nothing(bench: &Bench) {
    let id = next_end(bench).await;
    let forget = Forget {
        ended_before: bench.pass(hours(-1)),
        keep: ALL,
        most: 9,
    };
    assert_eq!(bench.store().forget(forget).await.unwrap(), 0);
    assert_eq!(ids(&bench.all().await), [id]);
}

/// A job whose image, result and attachment are these payloads.
async fn with_payloads(bench: &Bench, image: &str, result: &str, beside: &str) -> Record {
    let mut job = bench.job("decode");
    job.image.sha256 = Some(digest(image));
    let mut over = success(bench.running(job).await.lease(), bench.now());
    over.outcome = Ok(StoredOutput {
        result: Some(StoredResult::Payload {
            sha256: digest(result),
            bytes: 3,
        }),
        attachments: ["first", beside]
            .map(|name| StoredAttachment {
                name: name.to_owned(),
                mime_type: "image/png".to_owned(),
                bytes: 3,
                sha256: digest(name),
            })
            .to_vec(),
    });
    let id = over.lease.job;
    assert!(bench.finish(over).await);
    bench.get(id).await
}

pub async fn a_payload_is_needed_by_image_result_or_attachment(bench: &Bench) {
    with_payloads(bench, "image", "result", "beside").await;
    let asked = ["a", "image", "b", "result", "first", "beside", "c"].map(digest);
    let unused = async || {
        let mut unused = bench.other().unused(asked.to_vec()).await.unwrap();
        unused.sort();
        unused
    };
    let mut none_needs = ["a", "b", "c"].map(digest).to_vec();
    none_needs.sort();
    assert_eq!(unused().await, none_needs);
    assert!(bench.store().unused(Vec::new()).await.unwrap().is_empty());
    forget_all(bench).await;
    let mut all = asked.to_vec();
    all.sort();
    assert_eq!(unused().await, all);
}

async fn forget_all(bench: &Bench) {
    let forget = Forget {
        ended_before: bench.pass(millis(1)),
        keep: ALL,
        most: 1000,
    };
    bench.store().forget(forget).await.unwrap();
}

pub async fn a_payload_that_two_jobs_need_outlives_one(bench: &Bench) {
    with_payloads(bench, "shared", "one", "two").await;
    let mut job = bench.job("decode");
    job.image.sha256 = Some(digest("shared"));
    bench.add(job).await;
    forget_all(bench).await;
    let asked = ["shared", "one"].map(digest).to_vec();
    let unused = bench.store().unused(asked).await.unwrap();
    assert_eq!(unused, [digest("one")]);
}

pub async fn data_is_kept_as_it_is(bench: &Bench) {
    let huge = Bytes::from(vec![0xa5; 3 << 20]);
    for data in [Bytes::new(), Bytes::from_static(b"\0\xff"), huge] {
        let sha256 = digest_of(&data);
        assert_eq!(bench.store().data(sha256).await.unwrap(), None);
        for _ in 0..2 {
            let store = bench.store();
            let put = store.put_data(sha256, data.clone(), bench.now());
            put.await.unwrap();
        }
        bench.reopen().await;
        assert_eq!(bench.other().data(sha256).await.unwrap(), Some(data));
    }
}

pub async fn data_has_its_grace(bench: &Bench) {
    let put = async |text: &'static str| {
        let data = Bytes::from_static(text.as_bytes());
        let store = bench.store();
        let put = store.put_data(digest(text), data, bench.now());
        put.await.unwrap();
    };
    put("old").await;
    put("again").await;
    put("needed").await;
    let image = Image {
        sha256: Some(digest("needed")),
        bytes: 6,
    };
    let job = NewJob {
        image,
        ..bench.job("decode")
    };
    bench.add(job).await;
    let cut = bench.pass(hours(1));
    put("again").await;
    put("new").await;
    assert_eq!(bench.store().forget_data(cut).await.unwrap(), 1);
    assert_eq!(bench.store().forget_data(cut).await.unwrap(), 0);
    let there = async |text| bench.store().data(digest(text)).await.unwrap().is_some();
    assert!(!there("old").await);
    assert!(there("again").await && there("new").await && there("needed").await);
    let later = bench.pass(hours(1));
    assert_eq!(bench.store().forget_data(later).await.unwrap(), 2);
    assert!(there("needed").await);
}

pub async fn data_of_results_and_attachments_is_needed(bench: &Bench) {
    for text in ["image", "result", "first", "beside"] {
        let data = Bytes::from_static(text.as_bytes());
        let store = bench.store();
        let put = store.put_data(digest(text), data, bench.now());
        put.await.unwrap();
    }
    with_payloads(bench, "image", "result", "beside").await;
    let later = bench.now() + hours(1);
    assert_eq!(bench.store().forget_data(later).await.unwrap(), 0);
    forget_all(bench).await;
    assert_eq!(bench.store().forget_data(later).await.unwrap(), 4);
}

pub async fn an_analysis_comes_back(bench: &Bench) {
    let fine = analysis("decode", bench.now());
    let mut failed = analysis("decode", bench.now());
    failed.owner = Some("anna".to_owned());
    failed.options = None;
    failed.status = Status::Failed;
    failed.outcome = Some(Err(crate::jobs::made::error("crash")));
    failed.log = serde_json::value::RawValue::from_string("[ 1 ]".to_owned()).ok();
    failed.generation = None;
    failed.started_at = None;
    failed.progress = 0.125;
    let both = vec![fine.clone(), failed.clone()];
    bench.store().note(both).await.unwrap();
    assert_eq!(shown(&bench.get(fine.id).await), shown(&fine));
    bench.reopen().await;
    assert_eq!(shown(&bench.get(failed.id).await), shown(&failed));
    assert_eq!(bench.get(fine.id).await.kind, Kind::Analysis);
    assert!(bench.claim("decode", 9).await.is_empty());
}

pub async fn a_second_note_changes_nothing(bench: &Bench) {
    let first = analysis("decode", bench.now());
    bench.store().note(vec![first.clone()]).await.unwrap();
    let mut again = first.clone();
    again.outcome = Some(output("{\"another\":1}"));
    let other = analysis("decode", bench.now());
    let both = vec![again.clone(), other.clone(), again.clone()];
    bench.store().note(both).await.unwrap();
    assert_eq!(shown(&bench.get(first.id).await), shown(&first));
    assert_eq!(shown(&bench.get(other.id).await), shown(&other));
    let job = bench.running(bench.job("decode")).await;
    again.id = job.id;
    bench.store().note(vec![again]).await.unwrap();
    assert_eq!(shown(&bench.get(job.id).await), shown(&job));
}
