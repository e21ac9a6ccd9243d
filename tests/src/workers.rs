//! A daemon with two plugins in workers: `faults`, which is told to go wrong, and `twin`, the same
//! code under another name, which must see nothing of it.

use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Answer, Daemon, way};
use crate::fixtures::fixture;
use crate::folder::Folder;
use crate::process::Process;
use crate::wait;

/// The plugin that goes wrong.
pub const FAULTS: &str = "faults";

/// Its neighbour.
pub const TWIN: &str = "twin";

/// How the daemon deals with the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// By what only Linux has.
    Linux,
    /// By what every system has.
    Portable,
}

impl Platform {
    fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Portable => "portable",
        }
    }
}

/// Makes two tests of each function: `NAME::linux` and `NAME::portable`.
#[macro_export]
macro_rules! on_each_platform {
    ($($check:ident),+ $(,)?) => {$(
        mod $check {
            use $crate::workers::Platform;

            #[test]
            fn linux() {
                super::$check(Platform::Linux);
            }

            #[test]
            fn portable() {
                super::$check(Platform::Portable);
            }
        }
    )+};
}

/// The daemon and its two plugins.
pub struct Scene {
    /// The daemon.
    pub daemon: Daemon,
    /// Where its plugins are, and its state beside them.
    pub folder: Folder,
}

impl Scene {
    /// A daemon whose `faults` has these keys in its table.
    pub fn new(platform: Platform, faults: &str) -> Self {
        Self::with(platform, faults, "")
    }

    /// The same, with more keys from the top.
    pub fn with(platform: Platform, faults: &str, more: &str) -> Self {
        Self::among(platform, faults, more, &[])
    }

    /// The same, with more in the daemon's environment.
    pub fn among(
        platform: Platform,
        faults: &str,
        more: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let libraries = ["fixture-faults", "fixture-twin"].map(fixture);
        let folder = libraries
            .iter()
            .fold(Folder::new(), |folder, it| folder.with(it));
        let config = config(platform, &format!("{more}\n[plugin.faults]\n{faults}"));
        let daemon = Daemon::start_with(&folder, &config, environment);
        Self { daemon, folder }
    }

    /// Calls `faults`.
    pub fn call(&self, options: &Value) -> Answer {
        self.daemon.call(FAULTS, options)
    }

    /// A call of `faults` that goes well, and the worker that it ran in.
    pub fn fine(&self) -> Process {
        fine(&self.daemon, FAULTS)
    }

    /// So many calls of `faults` that go well.
    pub fn serves_on(&self, calls: usize) {
        for _ in 0..calls {
            self.fine();
        }
    }

    /// Goes wrong, and sees that nobody else did: the neighbour and its worker are the same as
    /// before, and the plugin itself serves on. Enough calls go well for no quarantine.
    pub fn check(&self, options: &Value, is_expected: impl Fn(&Answer) -> bool) -> Answer {
        let neighbour = fine(&self.daemon, TWIN);
        self.fine();
        let answer = self.call(options);
        assert!(is_expected(&answer), "{options}: {}", answer.body);
        self.serves_on(3);
        assert_eq!(
            fine(&self.daemon, TWIN),
            neighbour,
            "{options}: the neighbour's worker"
        );
        let status = self.daemon.plugin(TWIN);
        assert_eq!(
            (&status["error_count"], &status["crashes"]),
            (&json!(0), &json!(0))
        );
        answer
    }

    /// The same, of a call that must give exactly this.
    pub fn check_brief(&self, options: &Value, brief: &str, details: &Value) -> Answer {
        self.check(options, |answer| {
            answer.brief() == brief && answer.details() == details
        })
    }

    /// The same, of a call that ends its worker in one of these ways, whatever it says.
    pub fn check_codes(&self, options: &Value, codes: &[&str]) -> Answer {
        self.check(options, |answer| {
            let code = answer.details()["code"].as_str().unwrap_or("200");
            let status = match code {
                "200" => 200,
                "timeout" => 504,
                _ => 502,
            };
            codes.contains(&code) && answer.status == status
        })
    }

    /// The workers of `faults`.
    pub fn workers(&self) -> Vec<Process> {
        workers(&self.daemon, FAULTS)
    }

    /// The line of the log that tells how a call has ended.
    pub fn line(&self, answer: &Answer) -> Value {
        let request = answer.header("x-request-id").expect("every answer has one");
        wait::until("the log to tell of the call", || {
            let log = self.daemon.log();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut lines = lines.filter(|line| line["request"] == request);
            lines.find(|line| line["code"].is_string())
        })
    }

    /// Runs calls at the same time, each with its number.
    pub fn in_parallel(&self, count: usize, call: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
        let call = &call;
        thread::scope(|scope| {
            let callers = (0..count).map(|number| scope.spawn(move || call(number)));
            let callers: Vec<_> = callers.collect();
            callers
                .into_iter()
                .map(|caller| caller.join().unwrap())
                .collect()
        })
    }

    /// Runs `meanwhile` while a call of `faults` is in its worker.
    pub fn during(&self, options: &Value, meanwhile: impl FnOnce()) -> Answer {
        thread::scope(|scope| {
            let caller = scope.spawn(|| self.call(options));
            wait::until("the call to be in its worker", || {
                let status = self.daemon.plugin(FAULTS);
                let is_there = status["in_flight"] != 0 && status["workers"]["alive"] != 0;
                is_there.then_some(())
            });
            meanwhile();
            caller.join().unwrap()
        })
    }
}

/// A configuration whose plugins run in workers of that kind.
pub fn config(platform: Platform, more: &str) -> String {
    // One worker for the neighbour, so that it can be told whether it is the same.
    let neighbour = match more.contains("[plugin.twin]") {
        true => "",
        false => "plugin.twin.concurrency = 1",
    };
    format!(
        "jobs.retention.count = 1000\n\
         plugins.defaults.lane = \"process\"\nplugins.defaults.deadline = \"10s\"\n\
         {neighbour}\n\
         workers.platform = \"{}\"\n{more}\n",
        platform.as_str()
    )
}

/// A call that goes well, and the worker that it ran in.
pub fn fine(daemon: &Daemon, plugin: &str) -> Process {
    let answer = daemon.call(plugin, &way("fine"));
    let pid = answer.result()["pid"].as_i64();
    let worker = Process(i32::try_from(pid.unwrap()).unwrap());
    assert_ne!(worker, daemon.process(), "it ran in the daemon");
    worker
}

/// The workers of a plugin, as the daemon tells them.
pub fn workers(daemon: &Daemon, plugin: &str) -> Vec<Process> {
    let status = daemon.plugin(plugin);
    let pids = status["workers"]["pids"]
        .as_array()
        .expect("it runs in workers")
        .iter();
    let pids = pids.map(|pid| i32::try_from(pid.as_i64().unwrap()).unwrap());
    pids.map(Process).collect()
}

/// Waits until none of these processes is left.
pub fn all_gone(what: &str, processes: &[Process]) {
    wait::until(&format!("{what} to be gone"), || {
        let is_left = processes.iter().any(|process| process.is_alive());
        (!is_left).then_some(())
    });
}

/// What an attempt of the plugin has come to.
pub fn said<'a>(answer: &'a Answer, what: &str) -> &'a str {
    let said = &answer.result()["said"];
    said[what]
        .as_str()
        .unwrap_or_else(|| panic!("nothing is said of {what}: {said}"))
}
