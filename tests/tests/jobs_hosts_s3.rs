//! Hosts that share a database and an S3 bucket: what is large comes from any of them and goes to any of them.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

#[path = "payloads/server.rs"]
#[allow(dead_code, reason = "others use the rest of it")]
mod server;

use std::fs;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::hosts::{Shared, body, workers_of};
use bulkhead_tests::submit::brief;
use bulkhead_tests::wait;
use serde_json::{Value, json};
use server::{BUCKET, Server};
use tokio::runtime::Runtime;

const LARGE: usize = 200_000;

struct Bucket {
    server: Server,
    // It serves for as long as this is there.
    _runtime: Runtime,
}

impl Bucket {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start());
        Self {
            server,
            _runtime: runtime,
        }
    }

    fn host(&self, shared: &Shared, plugins: &[&str]) -> Daemon {
        let environment = self.server.environment();
        let environment = environment.iter();
        let environment: Vec<_> = environment
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let aws: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with("AWS_"))
            .collect();
        shared.host_on(shared.url(), plugins, &aws)
    }

    fn objects(&self) -> usize {
        fs::read_dir(self.server.bucket().join("pictures")).map_or(0, Iterator::count)
    }
}

fn shared() -> Option<Shared> {
    let jobs = format!("lease = \"2s\"\npayloads = \"s3://{BUCKET}/pictures\"\n");
    Some(Shared::new()?.with_jobs(&jobs))
}

#[test]
fn pictures_results_and_attachments_go_through_any_host() {
    let Some(shared) = shared() else { return };
    let bucket = Bucket::new();
    let able = bucket.host(&shared, &["fixture-steps"]);
    let others = [(); 2].map(|()| bucket.host(&shared, &["fixture-tiny"]));
    wait::until("the others to hear of the plugin", || {
        let heard = |host: &Daemon| host.submit("steps", &json!({})).status == 202;
        others.iter().all(heard).then_some(())
    });
    let attach =
        json!([{ "name": "a.bin", "mime_type": "application/octet-stream", "bytes": LARGE + 1 }]);
    let jobs: Vec<_> = (0..10)
        .map(|number| {
            let picture = vec![b'0' + number; LARGE];
            let options = json!({ "bytes": LARGE, "attach": attach });
            let options = shared.noted(&format!("m{number}"), &options);
            others[0].submitted_image("steps", &options, &picture)
        })
        .collect();
    for (number, job) in jobs.iter().enumerate() {
        let ended = others[1].ended(job);
        assert_eq!(brief(&ended), "SUCCESS", "{ended}");
        assert_eq!(ended["result"], Value::Null);
        for host in others.iter().chain([&able]) {
            let result = body(host, ended["result_url"].as_str().unwrap());
            let result: Value = serde_json::from_slice(&result).unwrap();
            assert_eq!(result["image_bytes"], LARGE);
            assert_eq!(result["mark"], format!("m{number}"));
            assert_eq!(result["padding"].as_str().unwrap().len(), LARGE);
            let attached = body(host, ended["attachments"][0]["url"].as_str().unwrap());
            assert_eq!(attached, vec![b'a'; LARGE + 1]);
        }
    }
    assert!(shared.workers().is_subset(&workers_of(&able)));
    // Ten pictures, ten results that differ by their marks, and one attachment.
    assert_eq!(bucket.objects(), 21);
}

#[test]
fn a_job_whose_picture_cannot_be_kept_is_not_taken() {
    let Some(shared) = shared() else { return };
    let bucket = Bucket::new();
    let host = bucket.host(&shared, &["fixture-steps"]);
    bucket.server.fail(507, 1000);
    let large = vec![0; LARGE];
    let answer = host.submit_image("steps", &json!({}), &large);
    assert_eq!(answer.status, 507, "{}", answer.brief());
    // What is small needs no bucket.
    let small = host.submitted("steps", &json!({}));
    assert_eq!(brief(&host.ended(&small)), "SUCCESS");
    bucket.server.fail(507, 0);
    let job = host.submitted_image("steps", &json!({}), &large);
    assert_eq!(brief(&host.ended(&job)), "SUCCESS");
}
