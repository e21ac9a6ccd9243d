//! Several hosts on one PostgreSQL: they share the work, see each other's jobs, and take over what a dead one leaves.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeSet;
use std::time::Instant;

use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::hosts::{Shared, events_of, workers_of};
use bulkhead_tests::submit::{brief, counted, id};
use bulkhead_tests::wait;
use rustix::process::Signal;
use serde_json::json;

const STEPS: &[&str] = &["fixture-steps"];

#[test]
fn hosts_share_the_work_and_see_each_others_jobs() {
    let Some(shared) = Shared::new() else { return };
    let hosts = [(); 3].map(|()| shared.host(STEPS));
    let jobs: Vec<_> = (0..60)
        .map(|number| {
            let options = shared.noted(&format!("m{number}"), &json!({ "sleep_ms": 100 }));
            hosts[0].submitted("steps", &options)
        })
        .collect();
    for (number, id) in jobs.iter().enumerate() {
        // Waited for at a host that has perhaps never seen it.
        let job = hosts[number % 3].ended(id);
        assert_eq!(brief(&job), "SUCCESS", "{job}");
        assert_eq!(job["result"]["mark"], format!("m{number}"));
        assert_eq!(shared.course(&format!("m{number}")), ["begin", "end"]);
    }
    let busy = |host: &&Daemon| !workers_of(host).is_disjoint(&shared.workers());
    assert_eq!(hosts.iter().filter(busy).count(), 3, "some did nothing");
    assert_eq!(hosts[1].jobs("limit=50").len(), 60);
}

#[test]
fn a_host_claims_only_what_its_plugins_can_do() {
    let Some(shared) = Shared::new() else { return };
    let able = shared.host(STEPS);
    let other = shared.host(&["fixture-tiny"]);
    wait::until("the other host to hear of the plugin", || {
        (other.submit("steps", &json!({})).status == 202).then_some(())
    });
    let jobs: Vec<_> = (0..20)
        .map(|number| {
            let options = shared.noted(&format!("m{number}"), &json!({}));
            other.submitted("steps", &options)
        })
        .collect();
    for job in &jobs {
        assert_eq!(brief(&other.ended(job)), "SUCCESS");
    }
    assert!(shared.workers().is_subset(&workers_of(&able)));
    assert_eq!(other.submit("nobodys", &json!({})).status, 404);
}

#[test]
fn what_a_dead_host_has_left_is_taken_over() {
    let Some(shared) = Shared::new() else { return };
    let mut first = shared.host(STEPS);
    let job = first.submitted("steps", &shared.gated("long"));
    shared.until_begun("long", 1);
    let second = shared.host(STEPS);
    first.kill();
    shared.until_begun("long", 2);
    shared.open_gate();
    let ended = second.ended(&job);
    assert_eq!(
        (brief(&ended).as_str(), ended["attempt"].as_u64()),
        ("SUCCESS", Some(2))
    );
    assert_eq!(shared.course("long"), ["begin", "begin", "end"]);
}

/// Says how long it takes from a host's death until another one begins its job.
#[test]
#[ignore = "measures"]
fn takeovers_are_measured() {
    let Some(shared) = Shared::new() else { return };
    let mut host = shared.host(STEPS);
    let job = host.submit_with(
        "steps",
        &shared.gated("long"),
        &[("max_attempts", "100")],
        &[],
    );
    let job = id(&job);
    shared.until_begun("long", 1);
    let mut times: Vec<_> = (2..=11)
        .map(|begun| {
            let next = shared.host(STEPS);
            let killed = Instant::now();
            host.kill();
            shared.until_begun("long", begun);
            host = next;
            killed.elapsed().as_millis()
        })
        .collect();
    times.sort_unstable();
    eprintln!("from the kill to the next begin, in ms, with leases of 2 s: {times:?}");
    shared.open_gate();
    assert_eq!(brief(&host.ended(&job)), "SUCCESS");
}

#[test]
fn hosts_that_are_killed_under_load_lose_nothing() {
    let Some(shared) = Shared::new() else { return };
    let mut hosts = Vec::from([(); 3].map(|()| shared.host(STEPS)));
    let mut accepted: Vec<(String, String)> = Vec::new();
    for round in 0..6 {
        for number in 0..20 {
            let mark = format!("r{round}-{number}");
            let options = shared.noted(&mark, &json!({ "sleep_ms": 20 }));
            let host = &hosts[number % 3];
            // A host that dies more often than a job may be begun is another matter.
            let answer = host.submit_with("steps", &options, &[("max_attempts", "7")], &[]);
            accepted.push((id(&answer), mark));
        }
        let victim = round % 3;
        hosts[victim].kill();
        hosts[victim] = shared.host(STEPS);
    }
    let mut interrupted = 0;
    for (id, mark) in &accepted {
        let job = hosts[0].ended(id);
        assert_eq!(brief(&job), "SUCCESS", "{mark}: {job}");
        assert_eq!(job["result"]["mark"], **mark);
        let (begun, ended) = counted(&shared.journal(), mark);
        assert!(
            (1..=7).contains(&begun) && ended >= 1,
            "{mark}: {begun}, {ended}"
        );
        assert!(job["attempt"].as_u64().unwrap() <= 7, "{job}");
        interrupted += usize::from(begun > 1);
        let again = hosts[1].job(id);
        assert_eq!(
            (&again["finished_at"], &again["result"]),
            (&job["finished_at"], &job["result"])
        );
    }
    assert!(interrupted > 0, "no host was killed while it ran a job");
}

#[test]
fn a_job_is_cancelled_through_another_host() {
    let Some(shared) = Shared::new() else { return };
    let (first, second) = (shared.host(STEPS), shared.host(&["fixture-tiny"]));
    let job = first.submitted("steps", &shared.gated("long"));
    shared.until_begun("long", 1);
    assert_eq!(second.cancel(&job).status, 200);
    let ended = second.ended(&job);
    assert_eq!(brief(&ended), "CANCELLED cancelled");
    assert_eq!(shared.course("long"), ["begin", "left"]);
    assert_eq!(brief(&first.job(&job)), "CANCELLED cancelled");
}

#[test]
fn a_job_is_followed_and_waited_for_through_another_host() {
    let Some(shared) = Shared::new() else { return };
    let (first, second) = (shared.host(STEPS), shared.host(&["fixture-tiny"]));
    let options = json!({ "steps": 3, "until": shared.gate() });
    let job = first.submitted("steps", &shared.noted("long", &options));
    shared.until_begun("long", 1);
    let (heard, waited) = std::thread::scope(|scope| {
        let heard = scope.spawn(|| events_of(&second, &job));
        let waited = scope.spawn(|| second.ended(&job));
        shared.open_gate();
        (heard.join().unwrap(), waited.join().unwrap())
    });
    assert_eq!(brief(&waited), "SUCCESS");
    assert_eq!(heard, events_of(&first, &job));
    let kinds: Vec<_> = heard.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds.first(), Some(&"started"));
    assert_eq!(kinds.last(), Some(&"ended"));
    assert_eq!(kinds.iter().filter(|kind| **kind == "log").count(), 3);
    assert!(heard.is_sorted_by(|one, next| one.1 < next.1), "{heard:?}");
}

#[test]
fn one_word_is_one_job_at_all_hosts() {
    let Some(shared) = Shared::new() else { return };
    let hosts = [(); 2].map(|()| shared.host(&["fixture-faults"]));
    let submit = |host: &Daemon| {
        host.submit_with("faults", &way("fine"), &[], &[("idempotency-key", "one")])
    };
    let ids: BTreeSet<_> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..20)
            .map(|number| {
                let host = &hosts[number % 2];
                scope.spawn(move || id(&submit(host)))
            })
            .collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
    assert_eq!(hosts[0].jobs("").len(), 1);
}

#[test]
fn a_host_that_stood_still_comes_too_late() {
    let Some(shared) = Shared::new() else { return };
    let first = shared.host(STEPS);
    let job = first.submitted("steps", &shared.gated("long"));
    shared.until_begun("long", 1);
    let second = shared.host(STEPS);
    first.process().stop();
    shared.until_begun("long", 2);
    let workers: Vec<_> = shared.notes().iter().map(|note| note.process).collect();
    let [stale, fresh] = workers[..] else {
        panic!("{workers:?}")
    };
    // The earlier one comes to its end first, and has its host say so.
    fresh.stop();
    shared.open_gate();
    wait::until("the earlier attempt to end", || {
        shared.workers().contains(&stale).then_some(())
    });
    first.process().signal(Signal::CONT);
    wait::until("the host to hear that it is too late", || {
        let log = first.log();
        let is_late = log.contains("the lease of the job counts no more")
            || log.contains("another host may run the job");
        is_late.then_some(())
    });
    let running = second.job(&job);
    assert_eq!(
        running["status"],
        "RUNNING",
        "{running} {:?} {:?}",
        shared.notes(),
        fresh.field("State")
    );
    fresh.signal(Signal::CONT);
    let ended = first.ended(&job);
    assert_eq!(brief(&ended), "SUCCESS", "{ended}");
    assert_eq!(ended["attempt"], 2);
    assert_eq!(ended["result"]["process"], fresh.0);
}
