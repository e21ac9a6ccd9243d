//! What `/metrics` tells of a daemon, and whether it is true.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_tests::builds::{self, BUILDS, FILE};
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::{fixture, workspace};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::openmetrics::Metrics;
use bulkhead_tests::reload::Scene as Builds;
use bulkhead_tests::submit::until;
use bulkhead_tests::wait;
use bulkhead_tests::workers::{FAULTS, Platform, Scene};
use serde_json::{Value, json};

const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

fn misbehaves(config: &str) -> Daemon {
    Daemon::start(&Folder::of(&fixture("fixture-misbehaves")), config)
}

#[test]
fn both_forms_are_well_written() {
    let daemon = misbehaves("");
    daemon.call("misbehaves", &way("panic"));
    let open = daemon.text("/metrics", "*/*");
    assert_eq!(open.content_type, OPEN);
    let metrics = Metrics::parse(&open.text).unwrap();
    let plain = daemon.text("/metrics", "text/plain");
    assert_eq!(plain.content_type, PLAIN);
    assert!(plain.text.contains("# TYPE bulkhead_calls_total counter\n"));
    assert!(!plain.text.contains("EOF"));
    assert!(metrics.families.len() > 30, "{}", metrics.families.len());
    promtool(&plain.text);
}

/// What Prometheus itself says of the names and the help.
fn promtool(text: &str) {
    let checking = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checking) = checking else {
        println!("SKIPPED: promtool is not installed");
        return;
    };
    let mut stdin = checking.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let said = checking.wait_with_output().unwrap();
    let told = [said.stdout, said.stderr].concat();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&told));
}

#[test]
fn calls_are_counted_by_what_came_of_them() {
    let config = "deadline = \"500ms\"\ngrace = \"100ms\"\nconcurrency = 2";
    let scene = Scene::new(Platform::Linux, config);
    for way in ["fine", "fine", "panic", "segv", "fine", "hang"] {
        scene.call(&json!({ "way": way }));
    }
    scene.call(&json!({ "way": "no such way" }));
    refused(&scene.daemon);
    let metrics = scene.daemon.metrics();
    let calls = |outcome| {
        let labels = [
            ("plugin", FAULTS),
            ("lane", "process"),
            ("outcome", outcome),
        ];
        metrics.find("bulkhead_calls_total", &labels)
    };
    let outcomes = ["success", "panic", "crash", "timeout", "invalid_options"].map(calls);
    assert_eq!(
        outcomes,
        [Some(3.0), Some(1.0), Some(1.0), Some(1.0), Some(1.0)]
    );
    let of_faults = [("plugin", FAULTS)];
    let refused = [("plugin", FAULTS), ("code", "unsupported_mime_type")];
    assert_eq!(metrics.value("bulkhead_refused_calls_total", &refused), 1.0);
    assert_eq!(metrics.value("bulkhead_crashes_total", &of_faults), 1.0);
    assert_eq!(
        metrics.value("bulkhead_call_duration_seconds_count", &of_faults),
        7.0
    );
    let below_250_ms = [("plugin", FAULTS), ("le", "0.25")];
    let quick = metrics.value("bulkhead_call_duration_seconds_bucket", &below_250_ms);
    assert!(quick <= 6.0, "the one that hung took longer: {quick}");
    assert!(metrics.value("bulkhead_call_duration_seconds_sum", &of_faults) >= 0.5);
    let status = scene.daemon.plugin(FAULTS);
    let mut calls = metrics.matching("bulkhead_calls_total", &of_faults);
    assert!(calls.all(|it| it.label("generation") == status["generation"].as_str()));
    let started = metrics.value("bulkhead_workers_started_total", &of_faults);
    assert!(started >= 3.0, "one after each that was ended: {started}");
    // One that was ended is being replaced.
    wait::until("as many workers as the status tells", || {
        let metrics = scene.daemon.metrics();
        let workers = ["busy", "idle"].map(|state| {
            let labels = [("plugin", FAULTS), ("state", state)];
            metrics.value("bulkhead_workers", &labels)
        });
        let alive = scene.daemon.plugin(FAULTS)["workers"]["alive"].as_f64();
        (alive == Some(workers.iter().sum()) && workers[1] > 0.0).then_some(())
    });
    assert!(metrics.value("bulkhead_worker_memory_bytes", &of_faults) > 100e3);
}

#[test]
fn a_call_is_seen_while_it_runs_and_while_it_waits() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    let config = "plugins.defaults.lane = \"in-process\"\n[plugin.misbehaves]\nconcurrency = 1\n";
    let daemon = Daemon::start(&folder, config);
    let file = folder.beside("until");
    let mut options = until(&file);
    options["way"] = "hold".into();
    let now = |name: &str| daemon.metrics().value(name, &[("plugin", "misbehaves")]);
    thread::scope(|scope| {
        let call = || daemon.call("misbehaves", &options).status;
        let callers = [scope.spawn(call), scope.spawn(call)];
        wait::until("one call to run and one to wait", || {
            let seen = (now("bulkhead_in_flight"), now("bulkhead_queued"));
            (seen == (1.0, 1.0)).then_some(())
        });
        std::fs::write(&file, "").unwrap();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 200);
        }
    });
    wait::until("nobody to be left", || {
        (now("bulkhead_in_flight") == 0.0 && now("bulkhead_queued") == 0.0).then_some(())
    });
}

#[test]
fn a_reload_changes_the_generation_and_loses_no_call() {
    let scene = Builds::quick("");
    let counted = || {
        let metrics = scene.daemon.metrics();
        let calls = |number| {
            let generation = builds::generation(&builds::bytes(number, "fine"));
            let labels = [("plugin", BUILDS), ("generation", &*generation)];
            metrics.value("bulkhead_call_duration_seconds_count", &labels)
        };
        let reloads = metrics.value("bulkhead_reloads_total", &[("plugin", BUILDS)]);
        let infos: Vec<_> = metrics
            .matching("bulkhead_plugin_info", &[("plugin", BUILDS)])
            .filter_map(|it| it.label("generation").map(str::to_owned))
            .collect();
        (calls(1), calls(2), reloads, infos)
    };
    let generation = |number| vec![builds::generation(&builds::bytes(number, "fine"))];
    scene.build();
    let (first, second, reloads, infos) = counted();
    assert_eq!((second, reloads, infos), (0.0, 0.0, generation(1)));
    scene.put(2, "fine");
    scene.wait_for_build(2);
    let (still, now, reloads, infos) = counted();
    assert!(still >= first && now >= 1.0, "{still} {now}");
    assert_eq!((reloads, infos), (1.0, generation(2)));
    wait::until("the old build to be retired", || {
        (scene.told("retired") == 1).then_some(())
    });
    assert_eq!(counted().0, still, "what has ended stays counted");
    assert_eq!(scene.act("rollback").status, 200);
    assert_eq!(scene.build(), 1);
    let (back, _, reloads, _) = counted();
    assert_eq!(
        (back, reloads),
        (still + 1.0, 2.0),
        "a build that comes back goes on"
    );
}

#[test]
fn a_plugin_that_goes_takes_its_labels_along() {
    let scene = Builds::quick("");
    scene.build();
    let has_labels = || {
        let metrics = scene.daemon.metrics();
        metrics
            .samples()
            .any(|it| it.label("plugin") == Some(BUILDS))
    };
    assert!(has_labels());
    std::fs::remove_file(scene.folder.at(FILE)).unwrap();
    wait::until("its labels to go", || (!has_labels()).then_some(()));
}

#[test]
fn what_is_told_under_load_adds_up() {
    let scene = Builds::quick("");
    let load = scene.load(4);
    let mut before = 0.0;
    for round in 0..20_u16 {
        if round % 5 == 0 {
            scene.put(round + 2, "fine");
        }
        let metrics = scene.daemon.metrics();
        let labels = [("plugin", BUILDS)];
        let outcomes = metrics.value("bulkhead_calls_total", &labels);
        let count = metrics.value("bulkhead_call_duration_seconds_count", &labels);
        assert_eq!(outcomes, count);
        assert!(count >= before, "{count} after {before}");
        before = count;
        load.wait_for_calls(usize::from(round) * 10);
    }
    load.stop().check_all_fine();
}

#[test]
fn requests_are_counted_by_their_route_and_never_by_their_path() {
    let daemon = misbehaves("");
    daemon.call("misbehaves", &way("fine"));
    daemon.call("misbehaves", &way("panic"));
    for number in 0..50 {
        daemon.get(&format!("/no/such/place/{number}"));
        daemon.get(&format!("/v1/plugins/none-{number}"));
    }
    let metrics = daemon.metrics();
    let count = |route, method, status| {
        let labels = [("route", route), ("method", method), ("status", status)];
        metrics.value("bulkhead_requests_total", &labels)
    };
    assert_eq!(count("/v1/analyze", "POST", "200"), 1.0);
    assert_eq!(count("/v1/analyze", "POST", "500"), 1.0);
    assert_eq!(count("/v1/plugins/{name}", "GET", "404"), 50.0);
    assert_eq!(count("unmatched", "GET", "404"), 50.0);
    let analyses = [("route", "/v1/analyze")];
    assert_eq!(
        metrics.value("bulkhead_request_duration_seconds_count", &analyses),
        2.0
    );
    let routes = metrics.samples().filter_map(|it| it.label("route"));
    let routes: BTreeSet<_> = routes.collect();
    assert!(routes.len() <= 6, "{routes:?}");
}

#[test]
fn the_host_tells_of_itself() {
    let daemon = misbehaves("server.max_in_flight = \"3MiB\"");
    let job = daemon.submitted("misbehaves", &way("fine"));
    daemon.ended(&job);
    let job = daemon.submitted("misbehaves", &way("panic"));
    daemon.ended(&job);
    let metrics = wait::until("the end of the jobs to be counted", || {
        let metrics = daemon.metrics();
        let ended = |outcome| metrics.value("bulkhead_jobs_ended_total", &[("outcome", outcome)]);
        let is_there = (ended("success"), ended("panic")) == (1.0, 1.0);
        let has_failed = metrics.value("bulkhead_jobs", &[("status", "FAILED")]) == 1.0;
        (is_there && has_failed).then_some(metrics)
    });
    let value = |name: &str| metrics.value(name, &[]);
    assert_eq!(value("bulkhead_job_store_up"), 1.0);
    assert_eq!(value("bulkhead_ready"), 1.0);
    assert!(value("bulkhead_connections_accepted_total") >= 1.0);
    assert!(value("bulkhead_connections") >= 1.0, "this one");
    assert_eq!(value("bulkhead_bytes_in_flight"), 0.0);
    assert!(value("bulkhead_bytes_in_flight_limit") >= 1e6);
    assert!(metrics.value("bulkhead_events_total", &[("kind", "host_ready")]) == 1.0);
    assert!(metrics.value("bulkhead_events_total", &[("kind", "job_failed")]) == 1.0);
    let resident = value("process_resident_memory_bytes") - daemon.resident() as f64;
    assert!(resident.abs() < 64e6, "{resident}");
    let threads = daemon.process().threads() as f64;
    assert!(
        (value("process_threads") - threads).abs() <= 8.0,
        "{threads}"
    );
    assert!(value("process_cpu_seconds_total") > 0.0);
}

#[test]
fn op_06_a_plugin_that_is_dead_is_named_while_the_daemon_lives() {
    let check = |required: bool, status: u16| {
        let config = format!("required = {required}");
        let scene = Scene::new(Platform::Linux, &config);
        for _ in 0..3 {
            scene.call(&way("segv"));
        }
        let since = Instant::now();
        let (mut ready, mut listed) = (Value::Null, Value::Null);
        while since.elapsed() < Duration::from_secs(1) {
            let answer = scene.daemon.get("/readyz");
            (ready, listed) = (answer.body, scene.daemon.plugin(FAULTS));
            let named = ready["degraded"][0]["plugin"] == FAULTS || ready["missing"][0] == FAULTS;
            if answer.status == status && named && listed["lifecycle"] == "QUARANTINED" {
                let labels = [("plugin", FAULTS), ("state", "QUARANTINED")];
                let metrics = scene.daemon.metrics();
                assert_eq!(metrics.value("bulkhead_plugin_lifecycle", &labels), 1.0);
                let ready = metrics.value("bulkhead_ready", &[]);
                assert_eq!(ready, f64::from(u8::from(status == 200)));
                assert_eq!(
                    metrics.value("bulkhead_plugin_lifecycle", &[("plugin", FAULTS)]),
                    1.0
                );
                return;
            }
        }
        panic!("required = {required}: {ready} {}", listed["lifecycle"]);
    };
    check(false, 200);
    check(true, 503);
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let file = workspace().join("host/packaging/grafana.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut asked = BTreeSet::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 20, "{asked:?}");
    let told = told();
    let unknown: Vec<_> = asked.iter().filter(|name| !told.contains(*name)).collect();
    assert!(unknown.is_empty(), "nothing is called {unknown:?}");
}

#[test]
fn the_page_names_every_metric_and_no_other() {
    let page = workspace().join("docs/observability.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let named = rows.filter_map(|row| Some(row.split_once('`')?.0.split('{').next()?.to_owned()));
    let is_ours = |name: &String| name.starts_with("bulkhead_") || name.starts_with("process_");
    let named: BTreeSet<_> = named.filter(is_ours).collect();
    let base = |name: &str| {
        let histogram = ["_bucket", "_sum", "_count"].iter();
        let base = histogram.fold(name, |name, suffix| {
            name.strip_suffix(suffix).unwrap_or(name)
        });
        base.to_owned()
    };
    let told: BTreeSet<_> = told().iter().map(|name| base(name)).collect();
    assert_eq!(named, told);
}

/// A call that comes to nothing before it runs.
fn refused(daemon: &Daemon) {
    let answer = daemon.post_form(FAULTS, "text/plain", b"a text", &json!({}));
    assert_eq!(
        answer.details()["code"],
        "unsupported_mime_type",
        "{}",
        answer.body
    );
}

/// The names of all samples of a daemon to which everything has happened.
fn told() -> BTreeSet<String> {
    let scene = Scene::new(Platform::Linux, "");
    scene.call(&way("fine"));
    refused(&scene.daemon);
    let job = scene.daemon.submitted(FAULTS, &way("fine"));
    scene.daemon.ended(&job);
    wait::until("the end of the job to be counted", || {
        let metrics = scene.daemon.metrics();
        metrics.find("bulkhead_jobs_ended_total", &[]).map(drop)
    });
    let metrics = scene.daemon.metrics();
    let silent: Vec<_> = metrics
        .families
        .iter()
        .filter(|it| it.samples.is_empty())
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
    metrics.samples().map(|it| it.name.clone()).collect()
}

/// The names in all queries of a dashboard.
fn expressions(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
                        let words = text.split(|it| !is_part(it));
                        let is_name =
                            |it: &&str| it.starts_with("bulkhead_") || it.starts_with("process_");
                        names.extend(words.filter(is_name).map(str::to_owned));
                    }
                    _ => expressions(value, names),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|it| expressions(it, names)),
        _ => {}
    }
}
