//! A constant load on one plugin: clients that call it one after the other until they are stopped, each
//! over a connection of its own, and what became of every call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::daemon::{Daemon, IMAGE};
use crate::wait;

/// One call and its answer.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which client sent it.
    pub client: usize,
    /// The status; none where there was no answer.
    pub status: Option<u16>,
    /// The number of the build that answered.
    pub build: Option<u64>,
    /// The process that it ran in: its id, which others may have after it, and when it was first called.
    pub worker: Option<(u64, u64)>,
    /// When it was sent.
    pub start: Instant,
    /// When its answer was there.
    pub end: Instant,
    /// What went wrong: the envelope, or why there is none.
    pub error: Option<String>,
}

/// How to call.
pub struct Shape {
    /// How many call at a time.
    pub clients: usize,
    /// The options of each call.
    pub options: Value,
    /// How many calls a second they make together; as many as they can if there is no number.
    pub rate: Option<f64>,
}

/// Clients that are calling. They stop with its drop.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    plugin: String,
    shape: Shape,
    is_over: AtomicBool,
    records: Mutex<Vec<Record>>,
}

impl Load {
    /// Starts to call as fast as answers come.
    pub fn start(daemon: &Daemon, plugin: &str, clients: usize, options: Value) -> Self {
        let shape = Shape {
            clients,
            options,
            rate: None,
        };
        Self::shaped(daemon, plugin, shape)
    }

    /// Starts to call.
    pub fn shaped(daemon: &Daemon, plugin: &str, shape: Shape) -> Self {
        let count = shape.clients;
        let shared = Arc::new(Shared {
            address: daemon.address(),
            plugin: plugin.to_owned(),
            shape,
            is_over: AtomicBool::new(false),
            records: Mutex::default(),
        });
        let clients = (0..count).map(|client| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run(client))
        });
        let clients = clients.collect();
        Self { shared, clients }
    }

    /// How many calls have ended.
    pub fn calls(&self) -> usize {
        self.shared.records().len()
    }

    /// Waits until so many more calls have ended.
    pub fn wait_for_calls(&self, more: usize) {
        let enough = self.calls() + more;
        wait::until(&format!("{more} more calls"), || {
            (self.calls() >= enough).then_some(())
        });
    }

    /// Waits until a call that was sent after now is answered by this build, and gives when that was.
    pub fn wait_for_build(&self, number: u16) -> Instant {
        let now = Instant::now();
        wait::until(&format!("an answer of build {number}"), || {
            let records = self.shared.records();
            let later = records.iter().rev().take_while(|record| record.end >= now);
            let mut later = later.filter(|record| record.start >= now);
            later
                .find(|record| record.build == Some(u64::from(number)))
                .map(|record| record.end)
        })
    }

    /// Stops, and tells what there was. Calls that have been sent are waited for.
    pub fn stop(mut self) -> Report {
        self.end();
        let records = std::mem::take(&mut *self.shared.records());
        Report { records }
    }

    fn end(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let ended = client.join();
            assert!(ended.is_ok() || thread::panicking(), "a client panicked");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn run(&self, client: usize) {
        let agent = agent();
        let mut next = self.first_turn(client);
        while !self.is_over.load(Ordering::Relaxed) {
            if let Some((turn, pause)) = &mut next {
                // A load is a matter of time.
                thread::sleep(turn.saturating_duration_since(Instant::now()));
                *turn += *pause;
            }
            let record = self.call(&agent, client);
            self.records().push(record);
        }
    }

    /// When a client calls first, and how long after that again: they take turns.
    fn first_turn(&self, client: usize) -> Option<(Instant, Duration)> {
        let rate = self.shape.rate?;
        let turn = Duration::from_secs_f64(1.0 / rate);
        let clients = u32::try_from(self.shape.clients).unwrap();
        let offset = turn * u32::try_from(client).unwrap();
        Some((Instant::now() + offset, turn * clients))
    }

    fn call(&self, agent: &Agent, client: usize) -> Record {
        let request = agent
            .post(format!("http://{}/v1/analyze", self.address))
            .query("plugin", &self.plugin)
            .query("options", self.shape.options.to_string())
            .header("content-type", "image/x-any");
        let start = Instant::now();
        let answer = request.send(IMAGE).and_then(|mut response| {
            let status = response.status().as_u16();
            Ok((status, response.body_mut().read_to_vec()?))
        });
        let end = Instant::now();
        let answer = answer.map_err(|error| error.to_string());
        Record::of(client, start, end, answer)
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn of(
        client: usize,
        start: Instant,
        end: Instant,
        answer: Result<(u16, Vec<u8>), String>,
    ) -> Self {
        let mut record = Self {
            client,
            status: None,
            build: None,
            worker: None,
            start,
            end,
            error: None,
        };
        match answer {
            Ok((status, body)) => record.read(status, &body),
            Err(error) => record.error = Some(error),
        }
        record
    }

    fn read(&mut self, status: u16, body: &[u8]) {
        self.status = Some(status);
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let result = &answer["result"];
        self.build = result["build"].as_u64();
        self.worker = result["process"].as_u64().zip(result["born"].as_u64());
        let is_whole = self.build.is_some() && self.build == result["build_at_end"].as_u64();
        if status != 200 || !is_whole {
            self.error = Some(String::from_utf8_lossy(body).into_owned());
        }
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.end - self.start
    }
}

/// What became of the calls of a load.
pub struct Report {
    /// All of them, as they ended.
    pub records: Vec<Record>,
}

impl Report {
    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.records.len()
    }

    /// Those that did not go well: no answer, an envelope, or an answer that is of no single build.
    pub fn failed(&self) -> Vec<&Record> {
        let failed = self.records.iter().filter(|record| record.error.is_some());
        failed.collect()
    }

    /// The builds that a client has met, one after the other; each once for as long as it stayed.
    pub fn builds_of(&self, client: usize) -> Vec<u64> {
        let of_client = self.records.iter().filter(|it| it.client == client);
        let mut builds: Vec<u64> = of_client.filter_map(|it| it.build).collect();
        builds.dedup();
        builds
    }

    /// The builds that have answered.
    pub fn builds(&self) -> BTreeSet<u64> {
        self.records.iter().filter_map(|it| it.build).collect()
    }

    /// Half of the calls were answered within this time.
    pub fn p50(&self) -> Duration {
        self.percentile(500)
    }

    /// All but one call in a hundred were answered within this time.
    pub fn p99(&self) -> Duration {
        self.percentile(990)
    }

    fn percentile(&self, thousandths: usize) -> Duration {
        let mut times: Vec<_> = self.records.iter().map(Record::took).collect();
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        times
            .get(last * thousandths / 1000)
            .copied()
            .unwrap_or_default()
    }

    /// A line on it, for whoever reads the test's output.
    pub fn tell(&self) -> String {
        format!(
            "{} calls, {} failed, builds {:?}, p50 {:?}, p99 {:?}",
            self.calls(),
            self.failed().len(),
            self.builds(),
            self.p50(),
            self.p99()
        )
    }

    /// Each call went well, and was answered by one build.
    pub fn check_all_fine(&self) {
        println!("{}", self.tell());
        let failed = self.failed();
        let some: Vec<_> = failed.iter().take(5).collect();
        assert!(failed.is_empty(), "{} failed: {some:#?}", failed.len());
        assert!(!self.records.is_empty(), "nobody has called");
    }

    /// The same for plugins in workers, of which each may run one build only.
    pub fn check_one_build_a_worker(&self) {
        let mut builds = BTreeMap::new();
        for record in &self.records {
            let (Some(worker), Some(build)) = (record.worker, record.build) else {
                continue;
            };
            let first = *builds.entry(worker).or_insert(build);
            assert_eq!(first, build, "worker {worker:?} ran both");
        }
    }

    /// No call that was sent after `then` was answered by any build but this one.
    pub fn check_only_after(&self, then: Instant, number: u16) {
        let later = self.records.iter().filter(|record| record.start >= then);
        let mut others = later.filter(|it| it.build.is_some_and(|it| it != u64::from(number)));
        let other = others.next();
        assert!(other.is_none(), "not of build {number}: {other:#?}");
    }
}

/// One connection is kept for all calls.
fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_idle_connections_per_host(1)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    config.into()
}
