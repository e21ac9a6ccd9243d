//! The host is killed at every named step of a job, again and again: nothing that it has acknowledged is lost, and
//! nothing comes to two ends. (FAULTS JB-01, JB-02)

use std::collections::BTreeMap;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::submit::{self, brief, counted, is_final, journal, steps_config};
use serde_json::{Value, json};

/// How often a job may be begun: more than a host dies in one test.
const ATTEMPTS: u32 = 6;
/// How often a host is killed at the same place.
const RESTARTS: usize = 3;
/// The most jobs that are submitted to one start of the host.
const MOST: usize = 12;

/// What is known of the jobs that a test has submitted.
struct Run {
    folder: Folder,
    config: String,
    /// The mark of each job that was acknowledged, by its id.
    acknowledged: BTreeMap<String, String>,
    submitted: usize,
}

impl Run {
    fn new(store: &str) -> Self {
        let folder = Folder::of(&fixture("fixture-steps"));
        let jobs = format!(
            "[jobs]\n{store}attempts = {ATTEMPTS}\nbackoff = \"10ms\"\nlease = \"2s\"\n\
             retention = {{ age = \"1h\", payloads = \"1s\" }}\n"
        );
        let config = steps_config(&folder, &jobs);
        journal(&folder);
        Self {
            folder,
            config,
            acknowledged: BTreeMap::new(),
            submitted: 0,
        }
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.beside("open").join("journal")
    }

    /// Starts a host that ends at a place, and gives it jobs until it does. Whether it did.
    fn be_killed(&mut self, environment: &[(&str, &str)]) -> bool {
        let Some(mut daemon) = Daemon::start_failing(&self.folder, &self.config, environment) else {
            return true;
        };
        let journal = self.journal();
        for _ in 0..MOST {
            let mark = format!("m{}", self.submitted);
            self.submitted += 1;
            // Some of the results are kept beside their job.
            let bytes = if self.submitted.is_multiple_of(3) { 100_000 } else { 10 };
            let options = json!({ "mark": mark, "journal": journal, "bytes": bytes });
            match daemon.try_submit("steps", &options, &[], &[]) {
                Ok(answer) => {
                    self.acknowledged.insert(submit::id(&answer), mark);
                }
                Err(_) => return daemon.has_been_killed(),
            }
        }
        self.end_all(&daemon);
        daemon.has_been_killed()
    }

    /// Waits for the end of what was acknowledged, or of the host.
    fn end_all(&self, daemon: &Daemon) {
        for id in self.acknowledged.keys() {
            let path = format!("/v1/jobs/{id}?wait=10");
            if daemon.try_get(&path).is_err() {
                return;
            }
        }
    }

    /// What must hold of the store and the journal once a host runs that nobody kills. Gives what does not.
    fn audit(&self) -> Vec<String> {
        let daemon = Daemon::start(&self.folder, &self.config);
        let mut wrong = Vec::new();
        for (id, mark) in &self.acknowledged {
            let answer = daemon.get(&format!("/v1/jobs/{id}?wait=30"));
            let job = &answer.body;
            if answer.status != 200 {
                wrong.push(format!("{mark} is lost: {}", answer.brief()));
                continue;
            }
            let attempts = job["attempt"].as_u64().unwrap();
            if !is_final(job) || brief(job) != "SUCCESS" || attempts > u64::from(ATTEMPTS) {
                wrong.push(format!("{mark} after {attempts} attempts: {}", brief(job)));
            }
            wrong.extend(self.check_result(&daemon, id, mark));
        }
        wrong
    }

    fn check_result(&self, daemon: &Daemon, id: &str, mark: &str) -> Option<String> {
        let result = daemon.get(&format!("/v1/jobs/{id}/result"));
        let (begun, ended) = counted(&self.journal(), mark);
        if result.body["mark"] != mark {
            return Some(format!("{mark} has another result: {}", result.body["mark"]));
        }
        (ended == 0 || begun < ended).then(|| format!("{mark} was begun {begun} times, ended {ended}"))
    }
}

/// Kills hosts where they come to `place` for the `hit`th time, and looks what is left.
fn check(place: &str, hit: usize) {
    let mut run = Run::new("");
    let kill = format!("{place}:{hit}");
    let mut killed = 0;
    for _ in 0..RESTARTS {
        killed += usize::from(run.be_killed(&[("FAILPOINT_KILL", &kill)]));
    }
    assert_eq!(killed, RESTARTS, "{place} is not where a host comes by {hit} times");
    let wrong = run.audit();
    assert!(wrong.is_empty(), "killed at {kill}:\n{}", wrong.join("\n"));
}

macro_rules! places {
    ($($name:ident: $place:literal;)+) => {
        $(mod $name {
            #[test]
            fn jb_01_first() {
                super::check($place, 1);
            }

            #[test]
            fn jb_01_second() {
                super::check($place, 2);
            }
        })+
    };
}

places! {
    payload_kept: "job.payload_kept";
    add_before_commit: "store.add.before_commit";
    add_after_commit: "store.add.after_commit";
    claim_after_commit: "store.claim.after_commit";
    claimed: "job.claimed";
    before_run: "job.before_run";
    after_run: "job.after_run";
    result_kept: "job.result_kept";
    finish_before_commit: "store.finish.before_commit";
    finish_after_commit: "store.finish.after_commit";
    forgotten: "job.forgotten";
}

#[test]
fn jb_01_a_store_that_answers_before_it_has_written_is_caught() {
    let mut run = Run::new("");
    // The control: acknowledged first, written then, and killed in between.
    let environment = [
        ("FAILPOINTS", "store.ack_early=return"),
        ("FAILPOINT_KILL", "store.add.before_commit:3"),
    ];
    for _ in 0..RESTARTS {
        run.be_killed(&environment);
    }
    let wrong = run.audit();
    assert!(wrong.iter().any(|it| it.contains("lost")), "it went unnoticed: {wrong:?}");
}

/// How many times a host is killed at random, each time under load.
fn rounds() -> usize {
    let wanted = std::env::var("BULKHEAD_KILL_ROUNDS");
    wanted.map_or(8, |rounds| rounds.parse().unwrap())
}

#[test]
fn jb_02_killed_at_random_times_under_load() {
    let mut run = Run::new("");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..rounds() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        run.submit_until_killed(usize::try_from(random % 120).unwrap());
    }
    let wrong = run.audit();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(run.acknowledged.len() > rounds(), "there was no load");
}

impl Run {
    /// Four clients submit at a time; the host is killed when so many jobs were acknowledged.
    fn submit_until_killed(&mut self, jobs: usize) {
        let mut daemon = Daemon::start(&self.folder, &self.config);
        let journal = self.journal();
        let round = self.submitted;
        let (sender, accepted) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let client = daemon.client();
            for number in 0..4 {
                let (client, sender, journal) = (client.clone(), sender.clone(), &journal);
                scope.spawn(move || {
                    for count in 0.. {
                        let mark = format!("r{round}-{number}-{count}");
                        let options: Value = json!({ "mark": mark, "journal": journal });
                        let Ok(answer) = client.try_submit("steps", &options) else {
                            return;
                        };
                        if answer.status == 202 && sender.send((submit::id(&answer), mark)).is_err() {
                            return;
                        }
                    }
                });
            }
            for (id, mark) in accepted.iter().take(jobs + 1) {
                self.acknowledged.insert(id, mark);
            }
            daemon.kill();
            drop(sender);
            self.acknowledged.extend(accepted);
        });
        self.submitted += 1;
    }
}
