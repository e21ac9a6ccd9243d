//! Several hosts on one database: daemons under test that share jobs, and a journal of what their plugins do. Knows no
//! table.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::fixtures::fixture;
use crate::folder::{Folder, chmod};
use crate::postgres::Postgres;
use crate::process::Process;
use crate::submit::counted;
use crate::wait;

/// A database, and a folder that the plugins of all hosts may write.
pub struct Shared {
    url: String,
    jobs: String,
    open: Folder,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `begin`, `end`, or `left` where it was cancelled.
    pub what: String,
    /// What the job is called.
    pub mark: String,
    /// The worker.
    pub process: Process,
}

impl Shared {
    /// A new database of the server that tests share; `None`, aloud, where there is none.
    pub fn new() -> Option<Self> {
        Some(Self::on(&Postgres::shared()?.database()))
    }

    /// The database of this url. Leases last for two seconds.
    pub fn on(url: &str) -> Self {
        let open = Folder::new();
        chmod(open.path().parent().unwrap(), 0o755);
        chmod(&open.path(), 0o777);
        let journal = open.path().join("journal");
        std::fs::write(&journal, "").unwrap();
        chmod(&journal, 0o666);
        Self {
            url: url.to_owned(),
            jobs: "lease = \"2s\"\nbackoff = \"10ms\"\n".to_owned(),
            open,
        }
    }

    /// The same with these lines below `[jobs]`, but for the store.
    #[must_use]
    pub fn with_jobs(mut self, jobs: &str) -> Self {
        jobs.clone_into(&mut self.jobs);
        self
    }

    /// The database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The journal of all plugins `steps`.
    pub fn journal(&self) -> PathBuf {
        self.open.path().join("journal")
    }

    /// A file that is not there yet, for jobs that wait for it.
    pub fn gate(&self) -> PathBuf {
        self.open.path().join("gate")
    }

    /// Has jobs go on that wait for the file.
    pub fn open_gate(&self) {
        std::fs::write(self.gate(), "").unwrap();
    }

    /// A host with these plugins, in a folder of its own.
    pub fn host(&self, plugins: &[&str]) -> Daemon {
        self.host_on(&self.url, plugins, &[])
    }

    /// The same, by another way to the database, with more in its environment.
    pub fn host_on(&self, url: &str, plugins: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let with = |folder: Folder, name: &&str| folder.with(&fixture(name));
        let folder = plugins.iter().fold(Folder::new(), with);
        let config = format!(
            "[log]\nlevel = \"debug\"\n[plugin.steps]\nwrite = [{:?}]\nconcurrency = 2\n[jobs]\nstore = {url:?}\n{}",
            self.open.path(),
            self.jobs
        );
        Daemon::start_with(&folder, &config, environment)
    }

    /// Options of a job that notes what it does.
    pub fn noted(&self, mark: &str, more: &Value) -> Value {
        let mut options = json!({ "mark": mark, "journal": self.journal() });
        let more = more.as_object().unwrap().clone();
        options.as_object_mut().unwrap().extend(more);
        options
    }

    /// Options of a job that waits for the gate.
    pub fn gated(&self, mark: &str) -> Value {
        self.noted(mark, &json!({ "until": self.gate() }))
    }

    /// Waits until a job was begun so often.
    pub fn until_begun(&self, mark: &str, times: usize) {
        wait::until(&format!("{mark} to begin"), || {
            (counted(&self.journal(), mark).0 >= times).then_some(())
        });
    }

    /// What the plugins have noted, in their order.
    pub fn notes(&self) -> Vec<Note> {
        let text = std::fs::read_to_string(self.journal()).unwrap();
        text.lines().map(Note::read).collect()
    }

    /// What they have noted of one job: `begin`, `end` and so on.
    pub fn course(&self, mark: &str) -> Vec<String> {
        let notes = self.notes().into_iter();
        let own = notes.filter(|note| note.mark == mark);
        own.map(|note| note.what).collect()
    }

    /// The workers that have ended jobs.
    pub fn workers(&self) -> BTreeSet<Process> {
        let notes = self.notes().into_iter();
        let ends = notes.filter(|note| note.what == "end");
        ends.map(|note| note.process).collect()
    }
}

impl Note {
    fn read(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let [what, mark, process] = words[..] else {
            panic!("{line}")
        };
        Self {
            what: what.to_owned(),
            mark: mark.to_owned(),
            process: Process(process.parse().unwrap()),
        }
    }
}

/// A host's workers.
pub fn workers_of(host: &Daemon) -> BTreeSet<Process> {
    host.process().children().into_iter().collect()
}

/// The body of an answer that is there, whatever it is, once it has come to its end.
pub fn body(host: &Daemon, path: &str) -> Vec<u8> {
    let mut connection = host.connect();
    // To an older protocol it comes as it is, and not in chunks.
    let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
    let body = answer.split_off(end.expect("an answer has a head") + 4);
    let head = String::from_utf8_lossy(&answer);
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    body
}

/// The kinds of all events of a job, once it has ended, and their numbers.
pub fn events_of(host: &Daemon, job: &str) -> Vec<(String, u64)> {
    let stream = body(host, &format!("/v1/jobs/{job}/events"));
    let stream = String::from_utf8(stream).unwrap();
    let blocks = stream.split("\n\n");
    let field = |block: &str, name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    let event = |block| {
        Some((
            field(block, "event: ")?,
            field(block, "id: ")?.parse().ok()?,
        ))
    };
    blocks.filter_map(event).collect()
}
