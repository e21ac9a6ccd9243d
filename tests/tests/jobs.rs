//! Jobs of one host, through HTTP: they wait, run, fail, are tried again, cancelled, and outlive the host. (FAULTS JB)

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use bulkhead_tests::cli;
use bulkhead_tests::daemon::{Answer, Daemon};
use bulkhead_tests::fixtures::{bytes, fixture};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::submit::{brief, counted, id, journal, steps_config};
use bulkhead_tests::wait;
use serde_json::{Value, json};

/// Short waits, so that what is to happen happens within a test.
const SHORT: &str = "[jobs]\nbackoff = \"10ms\"\n";

struct Bench {
    folder: Folder,
    config: String,
    daemon: Daemon,
}

impl Bench {
    fn new(more: &str) -> Self {
        let folder = Folder::of(&fixture("fixture-steps"));
        let config = steps_config(&folder, more);
        journal(&folder);
        let daemon = Daemon::start(&folder, &config);
        Self {
            folder,
            config,
            daemon,
        }
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.beside("open").join("journal")
    }

    fn noted(&self, mark: &str, more: Value) -> Value {
        let mut options = json!({ "mark": mark, "journal": self.journal() });
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        options
    }

    /// A file that a job may wait for.
    fn gate(&self, name: &str) -> std::path::PathBuf {
        self.folder.beside("open").join(name)
    }

    fn until_begun(&self, mark: &str, times: usize) {
        wait::until(&format!("{mark} to begin"), || {
            (counted(&self.journal(), mark).0 >= times).then_some(())
        });
    }

    /// Waits until the plugin takes no more calls: what runs goes on.
    fn until_gone(&self) {
        wait::until("the plugin to go", || {
            (self.daemon.get("/v1/plugins/steps").status == 404).then_some(())
        });
    }

    /// The same host, started anew.
    fn restart(&mut self) {
        self.daemon.end();
        self.daemon = Daemon::start(&self.folder, &self.config);
    }

    /// The marks of jobs that have ended, in their order.
    fn order(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.journal()).unwrap();
        let ends = text.lines().filter_map(|line| line.strip_prefix("end "));
        ends.filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    }
}

#[test]
fn a_job_is_submitted_waited_for_and_fetched() {
    let bench = Bench::new("");
    let attach = json!([{ "name": "a b.txt", "mime_type": "text/plain", "bytes": 5 }]);
    let options = bench.noted("one", json!({ "bytes": 10, "attach": attach, "steps": 3 }));
    let answer = bench.daemon.submit("steps", &options);
    assert_eq!(answer.status, 202, "{}", answer.brief());
    let job = id(&answer);
    assert_eq!(answer.header("location"), Some(&*format!("/v1/jobs/{job}")));
    let ended = bench.daemon.ended(&job);
    assert_eq!(brief(&ended), "SUCCESS");
    assert_eq!(ended["result"]["mark"], "one");
    assert_eq!(
        (&ended["attempt"], &ended["progress"]),
        (&json!(1), &json!(1.0))
    );
    assert_eq!(ended["image_sha256"].as_str().unwrap().len(), 64);
    let result = bench.daemon.get(&format!("/v1/jobs/{job}/result"));
    assert_eq!(result.body, ended["result"]);
    let url = ended["attachments"][0]["url"].as_str().unwrap();
    let attachment = bench.daemon.get(url);
    assert_eq!(
        (attachment.status, attachment.header("content-type")),
        (200, Some("text/plain"))
    );
    assert_eq!(attachment.header("content-length"), Some("5"));
}

#[test]
fn jobs_of_a_busy_plugin_wait_by_priority() {
    let bench = Bench::new("concurrency = 1\n");
    let gate = bench.gate("go");
    let first = bench
        .daemon
        .submitted("steps", &bench.noted("first", json!({ "until": gate })));
    bench.until_begun("first", 1);
    for (mark, priority) in [("low", "low"), ("normal", "normal"), ("high", "high")] {
        let query = [("priority", priority)];
        let answer = bench
            .daemon
            .submit_with("steps", &bench.noted(mark, json!({})), &query, &[]);
        assert_eq!(answer.body["priority"], priority);
        assert_eq!(answer.body["waiting_for"], "its turn", "{}", answer.body);
    }
    std::fs::write(&gate, "").unwrap();
    bench.daemon.ended(&first);
    for job in bench.daemon.jobs("") {
        bench.daemon.ended(job["id"].as_str().unwrap());
    }
    assert_eq!(bench.order(), ["first", "high", "normal", "low"]);
}

#[test]
fn a_plugin_with_many_jobs_holds_up_no_other() {
    let folder = Folder::of(&fixture("fixture-steps")).with(&fixture("fixture-tiny"));
    let config = steps_config(&folder, "concurrency = 1\n");
    let daemon = Daemon::start(&folder, &config);
    let gate = folder.beside("open").join("go");
    for _ in 0..50 {
        daemon.submitted("steps", &json!({ "until": gate }));
    }
    let other = daemon.submitted("tiny", &json!({}));
    assert_eq!(brief(&daemon.ended(&other)), "SUCCESS");
    assert_eq!(daemon.jobs("status=SUCCESS").len(), 1);
}

#[test]
fn a_job_waits_for_its_time() {
    let bench = Bench::new("");
    let tomorrow = [("not_before", "2999-01-01T00:00:00Z")];
    let answer = bench
        .daemon
        .submit_with("steps", &bench.noted("late", json!({})), &tomorrow, &[]);
    assert_eq!(answer.body["waiting_for"], "its time", "{}", answer.body);
    let now = bench
        .daemon
        .submitted("steps", &bench.noted("now", json!({})));
    bench.daemon.ended(&now);
    assert_eq!(bench.daemon.job(&id(&answer))["status"], "PENDING");
    let long_ago = [("not_before", "2001-01-01T00:00:00Z")];
    let answer = bench
        .daemon
        .submit_with("steps", &bench.noted("past", json!({})), &long_ago, &[]);
    assert_eq!(brief(&bench.daemon.ended(&id(&answer))), "SUCCESS");
}

#[test]
fn jb_07_one_word_is_one_job() {
    let bench = Bench::new("");
    let options = bench.noted("once", json!({}));
    let word = [("idempotency-key", "the-same")];
    let answers: Vec<_> = std::thread::scope(|scope| {
        let submit = || bench.daemon.submit_with("steps", &options, &[], &word);
        let sent: Vec<_> = (0..50).map(|_| scope.spawn(submit)).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let mut ids: Vec<_> = answers.iter().map(id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 202).count(),
        1
    );
    bench.daemon.ended(&ids[0]);
    assert_eq!(counted(&bench.journal(), "once"), (1, 1));
    let other = bench
        .daemon
        .submit_with("steps", &bench.noted("other", json!({})), &[], &word);
    assert_eq!(
        (other.status, other.details()["code"].as_str()),
        (422, Some("invalid_input"))
    );
}

#[test]
fn jb_08_a_job_waits_for_its_plugin_and_not_for_ever() {
    let bench = Bench::new("concurrency = 1\n[jobs]\npatience = \"3s\"\n");
    let gate = bench.gate("go");
    bench
        .daemon
        .submitted("steps", &bench.noted("first", json!({ "until": gate })));
    bench.until_begun("first", 1);
    let waits = bench
        .daemon
        .submitted("steps", &bench.noted("waits", json!({})));
    std::fs::remove_file(bench.folder.at("libfixture_steps.so")).unwrap();
    bench.until_gone();
    std::fs::write(&gate, "").unwrap();
    wait::until("the job to miss its plugin", || {
        (bench.daemon.job(&waits)["waiting_for"] == "plugin_missing").then_some(())
    });
    let ended = bench.daemon.ended(&waits);
    assert_eq!(brief(&ended), "FAILED plugin_not_found");
    assert_eq!(ended["error"]["type"], "PluginError");
    assert_eq!(counted(&bench.journal(), "waits"), (0, 0));
}

#[test]
fn jb_08_a_job_runs_when_its_plugin_comes_back() {
    let bench = Bench::new("concurrency = 1\n");
    let gate = bench.gate("go");
    bench
        .daemon
        .submitted("steps", &bench.noted("first", json!({ "until": gate })));
    bench.until_begun("first", 1);
    let waits = bench
        .daemon
        .submitted("steps", &bench.noted("waits", json!({})));
    std::fs::remove_file(bench.folder.at("libfixture_steps.so")).unwrap();
    bench.until_gone();
    std::fs::write(&gate, "").unwrap();
    wait::until("the job to miss its plugin", || {
        (bench.daemon.job(&waits)["waiting_for"] == "plugin_missing").then_some(())
    });
    bench
        .folder
        .put("libfixture_steps.so", &bytes(&fixture("fixture-steps")));
    assert_eq!(brief(&bench.daemon.ended(&waits)), "SUCCESS");
}

#[test]
fn jb_09_a_job_that_kills_its_worker_is_tried_three_times() {
    let bench = Bench::new(SHORT);
    let bad = bench
        .daemon
        .submitted("steps", &bench.noted("bad", json!({ "end": "abort" })));
    let good: Vec<_> = (0..5)
        .map(|it| {
            bench
                .daemon
                .submitted("steps", &bench.noted(&format!("good{it}"), json!({})))
        })
        .collect();
    let ended = bench.daemon.ended(&bad);
    assert_eq!(brief(&ended), "FAILED crash");
    assert_eq!(
        (&ended["attempt"], &ended["error"]["details"]["signal"]),
        (&json!(3), &json!("SIGABRT"))
    );
    assert_eq!(counted(&bench.journal(), "bad"), (3, 0));
    for job in &good {
        assert_eq!(
            brief(&bench.daemon.ended(job)),
            "SUCCESS",
            "the queue goes on"
        );
    }
}

#[test]
fn a_job_that_crashed_once_succeeds_the_second_time() {
    let bench = Bench::new(SHORT);
    let options = bench.noted("shy", json!({ "end": "abort-first" }));
    let ended = bench
        .daemon
        .ended(&bench.daemon.submitted("steps", &options));
    assert_eq!(
        (brief(&ended).as_str(), &ended["attempt"]),
        ("SUCCESS", &json!(2))
    );
    assert_eq!(ended["error"], Value::Null);
}

#[test]
fn a_plugins_own_error_is_final_and_a_job_can_be_run_once_more() {
    let bench = Bench::new(SHORT);
    let job = bench
        .daemon
        .submitted("steps", &bench.noted("fails", json!({ "end": "fail" })));
    let ended = bench.daemon.ended(&job);
    assert_eq!(
        (brief(&ended).as_str(), &ended["attempt"]),
        ("FAILED failed", &json!(1))
    );
    let again = bench.daemon.retry(&job);
    assert_eq!(
        (again.status, &again.body["status"]),
        (202, &json!("PENDING"))
    );
    bench.until_begun("fails", 2);
    assert_eq!(brief(&bench.daemon.ended(&job)), "FAILED failed");
    let fine = bench
        .daemon
        .submitted("steps", &bench.noted("fine", json!({})));
    bench.daemon.ended(&fine);
    assert_eq!(bench.daemon.retry(&fine).status, 422, "it has not failed");
}

#[test]
fn a_job_is_cancelled_in_every_state() {
    let bench = Bench::new("concurrency = 1\n");
    let never = bench.gate("never");
    let runs = bench.daemon.submitted(
        "steps",
        &bench.noted("runs", json!({ "until": never, "deaf": true })),
    );
    bench.until_begun("runs", 1);
    let waits = bench
        .daemon
        .submitted("steps", &bench.noted("waits", json!({})));
    assert_eq!(bench.daemon.cancel(&waits).body["status"], "CANCELLED");
    assert_eq!(bench.daemon.cancel(&runs).status, 200);
    assert_eq!(brief(&bench.daemon.ended(&runs)), "CANCELLED cancelled");
    assert_eq!(
        bench.daemon.cancel(&runs).body["status"],
        "CANCELLED",
        "once more changes nothing"
    );
    let after = bench
        .daemon
        .submitted("steps", &bench.noted("after", json!({})));
    assert_eq!(
        brief(&bench.daemon.ended(&after)),
        "SUCCESS",
        "its place is free again"
    );
    assert_eq!(bench.daemon.cancel(&after).body["status"], "SUCCESS");
    assert_eq!(counted(&bench.journal(), "waits"), (0, 0));
}

#[test]
fn jb_10_a_second_host_on_the_same_folder_refuses() {
    let bench = Bench::new("");
    let (plugins, state) = (bench.folder.path(), bench.folder.beside("state"));
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let second = cli::run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--plugins",
        &text(&plugins),
        "--state",
        &text(&state),
    ]);
    assert_eq!(second.exit, 69);
    assert!(second.stderr.contains("locked"), "{}", second.stderr);
    let job = bench
        .daemon
        .submitted("steps", &bench.noted("fine", json!({})));
    assert_eq!(brief(&bench.daemon.ended(&job)), "SUCCESS");
}

#[test]
fn jb_11_a_stop_lets_jobs_end_or_hands_them_back() {
    let mut bench = Bench::new("concurrency = 2\n[server]\ndrain = \"2s\"\n");
    let (gate, never) = (bench.gate("go"), bench.gate("never"));
    let ends = bench
        .daemon
        .submitted("steps", &bench.noted("ends", json!({ "until": gate })));
    let stays = bench
        .daemon
        .submitted("steps", &bench.noted("stays", json!({ "until": never })));
    bench.until_begun("ends", 1);
    bench.until_begun("stays", 1);
    let waits = bench
        .daemon
        .submitted("steps", &bench.noted("waits", json!({})));
    bench.daemon.terminate();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(bench.daemon.exit_code(), Some(0));
    std::fs::write(&never, "").unwrap();
    bench.restart();
    assert_eq!(bench.daemon.job(&ends)["status"], "SUCCESS");
    let stays = bench.daemon.ended(&stays);
    assert_eq!(
        (brief(&stays).as_str(), &stays["attempt"]),
        ("SUCCESS", &json!(1)),
        "a stop is no attempt"
    );
    assert_eq!(brief(&bench.daemon.ended(&waits)), "SUCCESS");
    assert_eq!(counted(&bench.journal(), "ends"), (1, 1));
}

#[test]
fn jb_14_a_large_result_lies_beside_its_job_and_ends_with_it() {
    let mut bench = Bench::new("[jobs]\nretention = { age = \"2s\", payloads = \"1s\" }\n");
    let job = bench
        .daemon
        .submitted("steps", &bench.noted("large", json!({ "bytes": 300_000 })));
    let ended = bench.daemon.ended(&job);
    assert_eq!(
        (&ended["status"], &ended["result"]),
        (&json!("SUCCESS"), &Value::Null)
    );
    let url = ended["result_url"].as_str().unwrap();
    let result = bench.daemon.get(url);
    assert_eq!(result.body["padding"].as_str().map(str::len), Some(300_000));
    let files = || files_below(&bench.folder.beside("state").join("payloads"));
    assert_eq!(files(), 1);
    wait::until("the job to be forgotten", || {
        (bench.daemon.get(&format!("/v1/jobs/{job}")).status == 410).then_some(())
    });
    assert_eq!(
        bench
            .daemon
            .get(&format!("/v1/jobs/{job}/result"))
            .details()["code"],
        "expired"
    );
    wait::until("its payload to go", || (files() == 0).then_some(()));
    bench.restart();
    assert_eq!(bench.daemon.get(&format!("/v1/jobs/{job}")).status, 410);
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let count = entries.map(|entry| {
        let path = entry.path();
        let is_payload = entry.file_name() != "owner";
        if path.is_dir() {
            files_below(&path)
        } else {
            usize::from(is_payload)
        }
    });
    count.sum()
}

#[test]
fn jb_15_workers_die_with_a_host_that_is_killed_and_jobs_run_again() {
    let mut bench = Bench::new("");
    let gate = bench.gate("go");
    let job = bench.daemon.submitted(
        "steps",
        &bench.noted("long", json!({ "until": gate, "deaf": true })),
    );
    bench.until_begun("long", 1);
    let workers = bench.daemon.process().children();
    assert!(!workers.is_empty());
    bench.daemon.kill();
    wait::until("the workers to die", || {
        (!workers.iter().any(|worker| worker.is_alive())).then_some(())
    });
    bench.restart();
    bench.until_begun("long", 2);
    std::fs::write(&gate, "").unwrap();
    let ended = bench.daemon.ended(&job);
    assert_eq!(
        (brief(&ended).as_str(), &ended["attempt"]),
        ("SUCCESS", &json!(2))
    );
    assert_eq!(counted(&bench.journal(), "long"), (2, 1));
}

#[test]
fn jb_16_an_id_that_was_guessed_finds_nothing() {
    let bench = Bench::new("");
    bench.daemon.ended(
        &bench
            .daemon
            .submitted("steps", &bench.noted("one", json!({}))),
    );
    for guess in [
        "00000000-0000-0000-0000-000000000000",
        "9b2c3d4e-5f60-4711-8a9b-0c1d2e3f4a5b",
        "0199f3a2-0000-7000-8000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "1",
        "..",
        "%00",
    ] {
        for path in ["", "/result", "/events", "/attachments/x"] {
            let answer = bench.daemon.get(&format!("/v1/jobs/{guess}{path}"));
            assert_eq!(answer.status, 404, "{guess}{path}: {}", answer.body);
        }
    }
}

#[test]
fn an_analysis_can_be_looked_up_after_a_restart() {
    let mut bench = Bench::new("");
    let answer = bench.daemon.call("steps", &bench.noted("now", json!({})));
    let job = answer.header("x-job-id").unwrap().to_owned();
    wait::until("the analysis to be kept", || {
        let kept = bench.daemon.jobs("kind=analysis");
        kept.iter().any(|it| it["id"] == *job).then_some(())
    });
    bench.daemon.kill();
    bench.restart();
    let kept = bench.daemon.job(&job);
    assert_eq!(
        (&kept["status"], &kept["image_sha256"]),
        (&json!("SUCCESS"), &Value::Null)
    );
    assert_eq!(kept["result"]["mark"], "now");
    assert!(bench.daemon.jobs("").is_empty(), "it was not submitted");
}

#[test]
fn what_cannot_run_is_refused_before_it_is_kept() {
    let bench = Bench::new("");
    for (answer, expected) in [
        (
            bench.daemon.submit("nobodys", &json!({})),
            (404, "plugin_not_found"),
        ),
        (
            bench
                .daemon
                .submit_with("steps", &json!({}), &[("priority", "now")], &[]),
            (400, "malformed_request"),
        ),
        (
            bench.daemon.submit_with(
                "steps",
                &json!({}),
                &[("callback_url", "http://example.com")],
                &[],
            ),
            (403, "forbidden"),
        ),
    ] {
        let code = answer.details()["code"].as_str().unwrap_or_default();
        assert_eq!((answer.status, code), expected, "{}", answer.body);
    }
    assert!(bench.daemon.jobs("").is_empty());
}

#[test]
fn a_job_that_was_stopped_by_nobody_keeps_its_deadline() {
    let bench = Bench::new(SHORT);
    let never = bench.gate("never");
    let options = bench.noted("slow", json!({ "until": never, "deaf": true }));
    let headers = [("x-deadline-ms", "100")];
    let query = [("max_attempts", "2")];
    let job = id(&bench
        .daemon
        .submit_with("steps", &options, &query, &headers));
    let ended = bench.daemon.ended(&job);
    assert_eq!(
        (brief(&ended).as_str(), &ended["attempt"]),
        ("FAILED timeout", &json!(2))
    );
    assert_eq!(ended["error"]["details"]["deadline_ms"], 100);
}

/// What an analysis is refused for by the host is no job, though the plugin was not opened yet.
#[test]
fn what_no_analysis_takes_is_no_job() {
    let folder = Folder::of(&fixture("fixture-steps"));
    let long = json!({ "mark": "x".repeat(2 << 20) });
    // In a worker, the schema is held against the options where the code runs.
    for (lane, options, status, code) in [
        (
            "in-process",
            json!({ "steps": "many" }),
            422,
            "invalid_options",
        ),
        ("in-process", long.clone(), 400, "malformed_request"),
        ("process", long, 400, "malformed_request"),
    ] {
        let config = format!("plugins.preload = 0\n[plugins.defaults]\nlane = '{lane}'\n");
        let body = json!({
            "plugin": "steps", "mime_type": "image/x-any", "image": "aW1hZ2U=", "options": options,
        });
        // The first to ask opens the plugin: each has a daemon of its own.
        let daemon = Daemon::start(&folder, &config);
        let job = daemon.post_json_to("/v1/jobs", &body);
        assert_eq!(daemon.get("/v1/jobs").body["items"], json!([]), "{lane}");
        drop(daemon);
        let daemon = Daemon::start(&folder, &config);
        let analysis = daemon.post_json(&body);
        assert_eq!(analysis.status, status, "{}", analysis.body);
        assert_eq!(analysis.body["error"]["details"]["code"], code);
        let told = |answer: &Answer| {
            let error = &answer.body["error"];
            ["type", "message", "details", "plugin"].map(|key| error[key].clone())
        };
        assert_eq!(job.status, analysis.status, "{}", job.body);
        assert_eq!(told(&job), told(&analysis));
    }
}
