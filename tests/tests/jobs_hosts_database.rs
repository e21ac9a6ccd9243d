//! Hosts whose database goes away, for a while or for longer than a lease: nothing that was acknowledged is lost, and
//! no job is run by two.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::hosts::{Shared, workers_of};
use bulkhead_tests::postgres::Postgres;
use bulkhead_tests::submit::{brief, id};
use bulkhead_tests::wait;
use bulkhead_tests::wire::Wire;
use serde_json::json;

const STEPS: &[&str] = &["fixture-steps"];
const UNREACHABLE: &str = "the job store cannot be reached now: try again";

/// What one submitter got to hear.
#[derive(Default)]
struct Heard {
    accepted: Vec<(String, String)>,
    refused: Vec<String>,
}

/// Ends what goes on meanwhile, however a test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Submits until it is told to stop, whatever comes back.
fn submit_on(shared: &Shared, host: &Daemon, name: usize, over: &AtomicBool) -> Heard {
    let mut heard = Heard::default();
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let mark = format!("s{name}-{number}");
        let options = shared.noted(&mark, &json!({ "sleep_ms": 5 }));
        let answer = host.submit("steps", &options);
        match answer.status {
            202 => heard.accepted.push((id(&answer), mark)),
            _ => heard.refused.push(answer.brief()),
        }
    }
    heard
}

/// Has something happen to the database under load, twice.
fn check(end: impl Fn(&Postgres)) {
    if Postgres::is_skipped() {
        return;
    }
    let server = Postgres::start();
    let shared = Shared::on(&server.url());
    let hosts = [(); 2].map(|()| shared.host(STEPS));
    let over = AtomicBool::new(false);
    let heard: Vec<Heard> = thread::scope(|scope| {
        let guard = Over(&over);
        let submitting: Vec<_> = hosts
            .iter()
            .enumerate()
            .map(|(name, host)| {
                let (shared, over) = (&shared, &over);
                scope.spawn(move || submit_on(shared, host, name, over))
            })
            .collect();
        for times in [1, 2] {
            let ended =
                || shared.workers().len() >= hosts.len() && shared.notes().len() > 40 * times;
            wait::until("jobs to end", || ended().then_some(()));
            end(&server);
            for host in &hosts {
                // Nobody waits for long, and everybody hears why.
                let answer = host.submit("steps", &json!({}));
                assert!(answer.brief().contains(UNREACHABLE), "{}", answer.brief());
                assert_eq!(answer.header("retry-after"), Some("1"));
            }
            server.resume();
            for host in &hosts {
                wait::until("submissions to be taken again", || {
                    (host.submit("steps", &json!({})).status == 202).then_some(())
                });
            }
        }
        drop(guard);
        submitting
            .into_iter()
            .map(|it| it.join().unwrap())
            .collect()
    });
    for Heard { accepted, refused } in &heard {
        assert!(!accepted.is_empty() && !refused.is_empty());
        for (id, mark) in accepted {
            let job = hosts[0].ended(id);
            assert_eq!(brief(&job), "SUCCESS", "{mark}: {job}");
            assert_eq!(job["result"]["mark"], **mark);
        }
    }
    assert!(!workers_of(&hosts[1]).is_empty());
}

#[test]
fn a_database_that_is_stopped_and_started_loses_nothing() {
    check(Postgres::stop);
}

#[test]
fn a_database_that_is_killed_loses_nothing() {
    check(Postgres::kill);
}

/// A host behind a way that can be interrupted, and one that is not.
struct Apart {
    shared: Shared,
    wire: Wire,
    cut: Daemon,
    other: Daemon,
    // There for as long as they are.
    _server: Postgres,
}

impl Apart {
    fn new() -> Option<Self> {
        if Postgres::is_skipped() {
            return None;
        }
        let server = Postgres::start_on_tcp(&[], &[]);
        let url = server.tcp_url();
        let (start, rest) = url.rsplit_once(':').expect("it has a port");
        let (port, database) = rest.split_once('/').expect("it has a database");
        let wire = Wire::to(port.parse().unwrap());
        let apart = format!("{start}:{}/{database}", wire.port());
        let shared = Shared::on(&url).with_jobs("lease = \"5s\"\n");
        let cut = shared.host_on(&apart, STEPS, &[]);
        let job = cut.submitted("steps", &json!({}));
        assert_eq!(brief(&cut.ended(&job)), "SUCCESS");
        let other = shared.host(&["fixture-tiny"]);
        Some(Self {
            shared,
            wire,
            cut,
            other,
            _server: server,
        })
    }
}

#[test]
fn a_host_that_does_not_reach_its_database_ends_its_jobs_before_another_begins_them() {
    let Some(it) = Apart::new() else { return };
    let job = it.cut.submitted("steps", &it.shared.gated("long"));
    it.shared.until_begun("long", 1);
    let able = it.shared.host(STEPS);
    it.wire.shut();
    it.shared.until_begun("long", 2);
    assert_eq!(it.shared.course("long"), ["begin", "left", "begin"]);
    it.wire.open();
    it.shared.open_gate();
    for host in [&it.other, &able, &it.cut] {
        let ended = host.ended(&job);
        assert_eq!(
            (brief(&ended).as_str(), &ended["attempt"]),
            ("SUCCESS", &json!(2))
        );
    }
    assert_eq!(it.shared.course("long"), ["begin", "left", "begin", "end"]);
}

#[test]
fn a_plugin_that_does_not_listen_is_ended_before_another_host_begins_its_job() {
    let Some(it) = Apart::new() else { return };
    let options = json!({ "until": it.shared.gate(), "deaf": true });
    let job = it
        .cut
        .submitted("steps", &it.shared.noted("long", &options));
    it.shared.until_begun("long", 1);
    let worker = it.shared.notes()[0].process;
    let able = it.shared.host(STEPS);
    it.wire.shut();
    it.shared.until_begun("long", 2);
    assert!(!worker.is_alive(), "two run the job");
    it.shared.open_gate();
    assert_eq!(brief(&able.ended(&job)), "SUCCESS");
}

#[test]
fn whoever_submits_to_a_host_that_does_not_reach_its_database_is_told_so() {
    let Some(it) = Apart::new() else { return };
    it.wire.shut();
    let answers: Vec<_> = thread::scope(|scope| {
        let sent: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| it.cut.submit("steps", &json!({}))))
            .collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    for answer in answers {
        assert!(answer.brief().contains(UNREACHABLE), "{}", answer.brief());
    }
    it.wire.open();
    wait::until("submissions to be taken again", || {
        (it.cut.submit("steps", &json!({})).status == 202).then_some(())
    });
}
