//! The host is killed at every named step of a job, again and again: nothing that it has acknowledged is lost, and
//! nothing comes to two ends. (FAULTS JB-01, JB-02)

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::ledger::Ledger;
use bulkhead_tests::mutations::Random;
use bulkhead_tests::postgres::Postgres;

/// How often a job may be begun: more than a host dies in one test.
const ATTEMPTS: u64 = 6;
/// How often a host is killed at the same place.
const RESTARTS: usize = 3;
/// How many jobs wait in the store when the first of them starts.
const LEFT: usize = 8;
/// The most jobs that are submitted to one start of the host.
const MOST: usize = 12;

/// Starts a host that ends at a place, and gives it jobs until it does. Whether it did.
fn be_killed(ledger: &mut Ledger, environment: &[(&str, &str)]) -> bool {
    let started = Daemon::start_failing(&ledger.folder, &ledger.config, environment);
    let Some(mut daemon) = started else {
        return true;
    };
    for _ in 0..MOST {
        match ledger.submit(&daemon) {
            Ok(answer) => assert_eq!(answer.status, 202, "{}", answer.brief()),
            Err(_) => return daemon.has_been_killed(),
        }
    }
    ledger.await_all(&daemon);
    daemon.has_been_killed()
}

/// Kills hosts where they come to `place` for the `hit`th time, and looks what is left.
fn check_in(mut ledger: Ledger, place: &str, hit: usize) {
    let kill = format!("{place}:{hit}");
    ledger.leave(LEFT);
    for _ in 0..RESTARTS {
        let is_killed = be_killed(&mut ledger, &[("FAILPOINT_KILL", &kill)]);
        assert!(is_killed, "no host comes to {place} {hit} times");
    }
    let wrong = ledger.audit();
    assert!(wrong.is_empty(), "killed at {kill}:\n{}", wrong.join("\n"));
}

fn check(place: &str, hit: usize) {
    let more = "retention = { age = \"1h\", payloads = \"1s\" }\n";
    check_in(Ledger::new(ATTEMPTS, more), place, hit);
}

/// The same where jobs that have ended are soon forgotten.
fn check_forgetful(place: &str, hit: usize) {
    // By the age it goes how often it is looked for what is to be forgotten.
    let more = "retention = { age = \"10s\", count = 2, payloads = \"1s\" }\n";
    let mut ledger = Ledger::new(ATTEMPTS, more);
    ledger.forgets = true;
    check_in(ledger, place, hit);
}

macro_rules! places {
    ($check:path: $($name:ident: $place:literal;)+) => {
        $(mod $name {
            #[test]
            fn jb_01_first() {
                $check($place, 1);
            }

            #[test]
            fn jb_01_second() {
                $check($place, 2);
            }
        })+
    };
}

places! {
    super::check:
    payload_kept: "job.payload_kept";
    payload_before_rename: "payload.before_rename";
    payload_after_rename: "payload.after_rename";
    add_before_commit: "store.add.before_commit";
    add_after_commit: "store.add.after_commit";
    claim_before_commit: "store.claim.before_commit";
    claim_after_commit: "store.claim.after_commit";
    claimed: "job.claimed";
    before_run: "job.before_run";
    after_run: "job.after_run";
    result_kept: "job.result_kept";
    finish_before_commit: "store.finish.before_commit";
    finish_after_commit: "store.finish.after_commit";
}

places! {
    super::check_forgetful:
    forgotten: "job.forgotten";
}

/// Whether the audit finds as many jobs lost as there were hosts: the control of all the others.
fn is_caught(ledger: &Ledger) {
    let wrong = ledger.audit();
    let lost = wrong.iter().filter(|it| it.contains("is lost: 404"));
    assert_eq!(lost.count(), RESTARTS, "it went unnoticed: {wrong:?}");
}

#[test]
fn jb_01_a_store_that_answers_before_it_has_written_is_caught() {
    let mut ledger = Ledger::new(ATTEMPTS, "");
    // So long that the answer reaches the client.
    let early = "store.ack_early=return;store.before_commit=sleep(200)";
    let kill = "store.add.before_commit:3";
    for _ in 0..RESTARTS {
        let environment = [("FAILPOINTS", early), ("FAILPOINT_KILL", kill)];
        assert!(be_killed(&mut ledger, &environment));
    }
    is_caught(&ledger);
}

/// How many times a host is killed at random, each time under load.
fn rounds() -> usize {
    let wanted = std::env::var("BULKHEAD_KILL_ROUNDS");
    wanted.map_or(8, |rounds| rounds.parse().unwrap())
}

#[test]
fn jb_02_killed_at_random_times_under_load() {
    // A job may be claimed by each of the hosts.
    let mut ledger = Ledger::new(100, "retention = { age = \"1h\", payloads = \"1s\" }\n");
    ledger.open();
    let mut random = Random::new(0x6a62_3032);
    for _ in 0..rounds() {
        let (jobs, micros) = (random.below(60), random.below(20_000));
        submit_until_killed(&mut ledger, jobs, Duration::from_micros(micros as u64));
    }
    let wrong = ledger.audit();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ledger.count() > 2 * rounds(), "there was no load");
}

/// Four clients submit at a time; the host is killed a moment after so many jobs were acknowledged.
fn submit_until_killed(ledger: &mut Ledger, jobs: usize, moment: Duration) {
    let mut daemon = ledger.start();
    let client = daemon.client();
    let (sender, acknowledged) = mpsc::channel();
    let works = std::sync::Mutex::new(ledger);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (client, sender, works) = (client.clone(), sender.clone(), &works);
            scope.spawn(move || {
                loop {
                    let work = works.lock().unwrap().work();
                    let Ok(answer) = work.submit(&client) else {
                        return;
                    };
                    assert_eq!(answer.status, 202, "{}", answer.brief());
                    works.lock().unwrap().note(&answer, work);
                    sender.send(()).unwrap();
                }
            });
        }
        drop(sender);
        acknowledged.iter().take(jobs + 1).for_each(drop);
        thread::sleep(moment);
        daemon.kill();
    });
}

/// The same with the store that hosts share.
mod postgres {
    use super::{ATTEMPTS, Daemon, Ledger, Postgres, RESTARTS};

    fn ledger() -> Option<Ledger> {
        let url = Postgres::shared()?.database();
        Some(Ledger::new(ATTEMPTS, &format!("store = {url:?}\n")))
    }

    fn check(place: &str, hit: usize) {
        if let Some(ledger) = ledger() {
            super::check_in(ledger, place, hit);
        }
    }

    places! {
        super::check:
        add_before_commit: "store.add.before_commit";
        add_after_commit: "store.add.after_commit";
        claim_after_commit: "store.claim.after_commit";
        after_run: "job.after_run";
        finish_before_commit: "store.finish.before_commit";
        finish_after_commit: "store.finish.after_commit";
    }

    #[test]
    fn jb_01_a_store_that_answers_and_does_not_write_is_caught() {
        let Some(mut ledger) = ledger() else { return };
        let early = [("FAILPOINTS", "store.ack_early=2*off->return")];
        for _ in 0..RESTARTS {
            let started = Daemon::start_failing(&ledger.folder, &ledger.config, &early);
            let mut daemon = started.expect("nobody kills it");
            for _ in 0..3 {
                assert_eq!(ledger.submit(&daemon).unwrap().status, 202);
            }
            daemon.kill();
        }
        super::is_caught(&ledger);
    }
}
