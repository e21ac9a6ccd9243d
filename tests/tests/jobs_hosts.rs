//! Several hosts on one PostgreSQL: they share the work, see each other's jobs, and take over what a dead one leaves.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::{Folder, chmod};
use bulkhead_tests::postgres::Postgres;
use bulkhead_tests::submit::{brief, counted, id};
use bulkhead_tests::wait;
use serde_json::{Value, json};

/// A database, and a folder that all plugins may write.
struct Shared {
    url: String,
    open: Folder,
}

impl Shared {
    fn new() -> Option<Self> {
        let server = Postgres::shared()?;
        let open = Folder::new();
        chmod(open.path().parent().unwrap(), 0o755);
        chmod(&open.path(), 0o777);
        let journal = open.path().join("journal");
        std::fs::write(&journal, "").unwrap();
        chmod(&journal, 0o666);
        Some(Self {
            url: server.database(),
            open,
        })
    }

    fn journal(&self) -> PathBuf {
        self.open.path().join("journal")
    }

    /// A host with these plugins, in a folder of its own.
    fn host(&self, plugins: &[&str]) -> Daemon {
        let with = |folder: Folder, name: &&str| folder.with(&fixture(name));
        let folder = plugins.iter().fold(Folder::new(), with);
        let config = format!(
            "[plugin.steps]\nwrite = [{:?}]\nconcurrency = 2\n[jobs]\nstore = {:?}\nlease = \"2s\"\nbackoff = \"10ms\"\n",
            self.open.path(),
            self.url
        );
        Daemon::start(&folder, &config)
    }

    /// Options of a job that notes what it does.
    fn noted(&self, mark: &str, more: Value) -> Value {
        let mut options = json!({ "mark": mark, "journal": self.journal() });
        let more = more.as_object().unwrap().clone();
        options.as_object_mut().unwrap().extend(more);
        options
    }

    /// Waits until a job was begun so often.
    fn until_begun(&self, mark: &str, times: usize) {
        wait::until(&format!("{mark} to begin"), || {
            (counted(&self.journal(), mark).0 >= times).then_some(())
        });
    }

    /// The processes that have ended jobs.
    fn workers(&self) -> BTreeSet<String> {
        let text = std::fs::read_to_string(self.journal()).unwrap();
        let ends = text.lines().filter(|line| line.starts_with("end "));
        ends.filter_map(|line| line.rsplit(' ').next().map(str::to_owned)).collect()
    }
}

/// A host's workers, by their process ids.
fn workers_of(host: &Daemon) -> BTreeSet<String> {
    let children = host.process().children();
    children.iter().map(|process| process.0.to_string()).collect()
}

#[test]
fn hosts_share_the_work_and_see_each_others_jobs() {
    let Some(shared) = Shared::new() else { return };
    let hosts = [(); 3].map(|()| shared.host(&["fixture-steps"]));
    let jobs: Vec<_> = (0..60)
        .map(|number| {
            let options = shared.noted(&format!("m{number}"), json!({ "sleep_ms": 100 }));
            hosts[0].submitted("steps", &options)
        })
        .collect();
    for (number, id) in jobs.iter().enumerate() {
        // Waited for at a host that has perhaps never seen it.
        let job = hosts[number % 3].ended(id);
        assert_eq!(brief(&job), "SUCCESS", "{job}");
        assert_eq!(job["result"]["mark"], format!("m{number}"));
    }
    let busy = hosts.iter().filter(|host| !workers_of(host).is_disjoint(&shared.workers()));
    assert!(busy.count() >= 2, "one host has done it all");
    assert_eq!(hosts[1].jobs("limit=50").len(), 60);
}

#[test]
fn a_host_claims_only_what_its_plugins_can_do() {
    let Some(shared) = Shared::new() else { return };
    let able = shared.host(&["fixture-steps", "fixture-tiny"]);
    let other = shared.host(&["fixture-steps"]);
    wait::until("the other host to hear of the plugin", || {
        (other.submit("tiny", &json!({})).status == 202).then_some(())
    });
    let job = id(&other.submit("tiny", &json!({})));
    assert_eq!(brief(&other.ended(&job)), "SUCCESS");
    assert_eq!(other.submit("nobodys", &json!({})).status, 404);
    drop(able);
}

#[test]
fn what_a_dead_host_has_left_is_taken_over() {
    let Some(shared) = Shared::new() else { return };
    let mut first = shared.host(&["fixture-steps"]);
    let go = shared.open.path().join("go");
    let job = first.submitted("steps", &shared.noted("long", json!({ "until": go })));
    shared.until_begun("long", 1);
    let second = shared.host(&["fixture-steps"]);
    first.kill();
    shared.until_begun("long", 2);
    std::fs::write(&go, "").unwrap();
    let ended = second.ended(&job);
    assert_eq!((brief(&ended).as_str(), ended["attempt"].as_u64()), ("SUCCESS", Some(2)));
    assert_eq!(counted(&shared.journal(), "long"), (2, 1));
}

#[test]
fn hosts_that_are_killed_under_load_lose_nothing() {
    let Some(shared) = Shared::new() else { return };
    let mut hosts = Vec::from([(); 3].map(|()| shared.host(&["fixture-steps"])));
    let mut accepted: Vec<(String, String)> = Vec::new();
    for round in 0..6 {
        for number in 0..20 {
            let mark = format!("r{round}-{number}");
            let options = shared.noted(&mark, json!({ "sleep_ms": 20 }));
            let host = &hosts[number % 3];
            accepted.push((host.submitted("steps", &options), mark));
        }
        let victim = round % 3;
        hosts[victim].kill();
        hosts[victim] = shared.host(&["fixture-steps"]);
    }
    for (id, mark) in &accepted {
        let job = hosts[0].ended(id);
        assert_eq!(brief(&job), "SUCCESS", "{mark}: {job}");
        assert_eq!(job["result"]["mark"], **mark);
        assert!(job["attempt"].as_u64().unwrap() <= 3, "{job}");
        let again = hosts[1].job(id);
        assert_eq!((&again["finished_at"], &again["attempt"]), (&job["finished_at"], &job["attempt"]));
    }
}

#[test]
fn a_job_is_cancelled_and_followed_through_another_host() {
    let Some(shared) = Shared::new() else { return };
    let (first, second) = (shared.host(&["fixture-steps"]), shared.host(&["fixture-tiny"]));
    let never = shared.open.path().join("never");
    let job = first.submitted("steps", &shared.noted("long", json!({ "until": never })));
    shared.until_begun("long", 1);
    assert_eq!(second.cancel(&job).status, 200);
    let ended = second.ended(&job);
    assert_eq!(brief(&ended), "CANCELLED cancelled");
    assert_eq!(counted(&shared.journal(), "long"), (1, 0));
}

#[test]
fn one_word_is_one_job_at_all_hosts() {
    let Some(shared) = Shared::new() else { return };
    let hosts = [(); 2].map(|()| shared.host(&["fixture-faults"]));
    let submit = |host: &Daemon| {
        host.submit_with("faults", &way("fine"), &[], &[("idempotency-key", "one")])
    };
    let ids: BTreeSet<_> = std::thread::scope(|scope| {
        let host = |number: usize| &hosts[number % 2];
        let sent: Vec<_> = (0..20).map(|it| scope.spawn(move || id(&submit(host(it))))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
}
