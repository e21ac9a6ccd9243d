//! The jobs that a host has acknowledged, and what must hold of each of them whatever becomes of the host. Knows no
//! way to end one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::daemon::{Answer, Daemon};
use crate::fixtures::fixture;
use crate::folder::Folder;
use crate::submit::{self, Submitter, brief, counted, is_final, journal, steps_config};

/// More than is kept in a job's record, or in its row.
const LARGE: usize = 100_000;

/// A job to be submitted to the plugin `steps`. Every third has a large result, every fourth a large image.
pub struct Work {
    mark: String,
    options: Value,
    image: Vec<u8>,
}

impl Work {
    /// Submits it. An error where the host has gone away before it answered.
    ///
    /// # Errors
    /// What happened to the connection.
    pub fn submit(&self, client: &Submitter) -> Result<Answer, ureq::Error> {
        client.try_submit_image("steps", &self.options, &self.image)
    }
}

/// What a host has acknowledged.
pub struct Ledger {
    /// The host's plugins, and beside them its state.
    pub folder: Folder,
    /// The host's settings.
    pub config: String,
    /// How often a job may be begun.
    pub attempts: u64,
    /// Whether the host forgets jobs that have ended.
    pub forgets: bool,
    works: usize,
    jobs: BTreeMap<String, Work>,
}

impl Ledger {
    /// Nothing yet. What is said of `[jobs]` besides is `more`.
    pub fn new(attempts: u64, more: &str) -> Self {
        let folder = Folder::of(&fixture("fixture-steps"));
        let jobs = format!(
            "concurrency = 1\n[jobs]\nattempts = {attempts}\nbackoff = \"10ms\"\nlease = \"2s\"\n{more}"
        );
        let config = steps_config(&folder, &jobs);
        journal(&folder);
        Self {
            folder,
            config,
            attempts,
            forgets: false,
            works: 0,
            jobs: BTreeMap::new(),
        }
    }

    /// A host with these settings, which nobody ends.
    pub fn start(&self) -> Daemon {
        Daemon::start(&self.folder, &self.config)
    }

    /// How many jobs were acknowledged.
    pub fn count(&self) -> usize {
        self.jobs.len()
    }

    /// Another job, which ends once [`open`](Self::open) was called.
    pub fn work(&mut self) -> Work {
        let number = self.works;
        self.works += 1;
        let mark = format!("m{number}");
        let bytes = if number.is_multiple_of(3) { LARGE } else { 10 };
        let mut image = format!("image {mark} ").into_bytes();
        if number.is_multiple_of(4) {
            image.resize(LARGE, b'i');
        }
        let options = json!({
            "mark": mark, "journal": self.journal(), "bytes": bytes, "until": self.gate(),
        });
        Work {
            mark,
            options,
            image,
        }
    }

    /// Submits another job, and notes it if it is acknowledged.
    ///
    /// # Errors
    /// What happened to the connection.
    pub fn submit(&mut self, daemon: &Daemon) -> Result<Answer, ureq::Error> {
        let work = self.work();
        let answer = work.submit(&daemon.client())?;
        if answer.status == 202 {
            self.note(&answer, work);
        }
        Ok(answer)
    }

    /// Notes a job that was acknowledged.
    pub fn note(&mut self, answer: &Answer, work: Work) {
        self.jobs.insert(submit::id(answer), work);
    }

    /// Has jobs end from now on.
    pub fn open(&self) {
        fs::write(self.gate(), "").unwrap();
    }

    /// Has jobs wait from now on.
    pub fn shut(&self) {
        // It may be shut already.
        let _ = fs::remove_file(self.gate());
    }

    /// Leaves so many jobs in the store that were acknowledged and have not ended, as a killed host does.
    pub fn leave(&mut self, count: usize) {
        self.shut();
        let mut daemon = self.start();
        for _ in 0..count {
            let answer = self.submit(&daemon).unwrap();
            assert_eq!(answer.status, 202, "{}", answer.brief());
        }
        daemon.kill();
        self.open();
    }

    /// Waits for the end of all jobs, or of the host.
    pub fn await_all(&self, daemon: &Daemon) {
        for id in self.jobs.keys() {
            if daemon.try_get(&format!("/v1/jobs/{id}?wait=10")).is_err() {
                return;
            }
        }
    }

    /// Gives what does not hold that must, once hosts run that nobody kills but this: each job has come to one end, and
    /// the next host sees the same.
    pub fn audit(&self) -> Vec<String> {
        self.open();
        let (mut wrong, mut found) = (Vec::new(), BTreeMap::new());
        {
            let mut daemon = self.start();
            for (id, work) in &self.jobs {
                match self.look(&daemon, id, work) {
                    Ok(job) => drop(found.insert(id, job)),
                    Err(problem) => wrong.push(problem),
                }
            }
            wrong.extend(self.check_others(&daemon));
            daemon.kill();
        }
        let daemon = self.start();
        for (id, before) in found {
            let now = daemon.get(&format!("/v1/jobs/{id}"));
            if !self.is_forgotten(&now) && !before.is_null() && now.body != before {
                wrong.push(format!("it ended twice: {before}, and {}", now.body));
            }
        }
        drop(daemon);
        wrong.extend(self.check_files());
        wrong
    }

    /// A job that has ended as it must; null where it may be forgotten, and is.
    fn look(&self, daemon: &Daemon, id: &str, work: &Work) -> Result<Value, String> {
        let mark = &work.mark;
        let (begun, ended) = counted(&self.journal(), mark);
        let answer = daemon.get(&format!("/v1/jobs/{id}?wait=30"));
        if self.is_forgotten(&answer) && ended > 0 {
            return Ok(Value::Null);
        }
        if answer.status != 200 {
            return Err(format!("{mark} is lost: {}", answer.brief()));
        }
        let job = answer.body;
        let attempts = job["attempt"].as_u64().unwrap();
        if !is_final(&job) || brief(&job) != "SUCCESS" || attempts > self.attempts {
            return Err(format!("{mark} did not end: {job}"));
        }
        let begun = begun.max(counted(&self.journal(), mark).0) as u64;
        if begun == 0 || begun > attempts {
            return Err(format!("{mark} was begun {begun} times: {job}"));
        }
        self.check_result(daemon, id, work)?;
        Ok(job)
    }

    fn check_result(&self, daemon: &Daemon, id: &str, work: &Work) -> Result<(), String> {
        let result = daemon.get(&format!("/v1/jobs/{id}/result"));
        let padding = result.body["padding"].as_str().map(str::len);
        let is_its_own = result.body["mark"] == *work.mark
            && result.body["image_bytes"] == work.image.len()
            && padding.map(|it| it as u64) == work.options["bytes"].as_u64();
        if is_its_own || self.is_forgotten(&result) {
            return Ok(());
        }
        let mark = &result.body["mark"];
        Err(format!(
            "{} has another result: {} of {mark}",
            work.mark, result.status
        ))
    }

    /// Jobs that nobody was told of may be there or not; those that are end as all do.
    fn check_others(&self, daemon: &Daemon) -> Vec<String> {
        let jobs = daemon.jobs("limit=500");
        if jobs.is_empty() {
            return vec!["all jobs are lost".to_owned()];
        }
        let ended = jobs.iter().map(|job| {
            let id = job["id"].as_str().expect("a job has an id");
            daemon.get(&format!("/v1/jobs/{id}?wait=30"))
        });
        let wrong = ended.filter(|it| !self.is_forgotten(it) && brief(&it.body) != "SUCCESS");
        wrong
            .map(|it| format!("nobody's job: {}", it.body))
            .collect()
    }

    /// What is wrong with the files, where there are any: the host has ended.
    fn check_files(&self) -> Vec<String> {
        let state = self.folder.beside("state");
        let database = state.join("jobs.db");
        if !database.exists() {
            return Vec::new();
        }
        let connection = rusqlite::Connection::open(database).unwrap();
        let found: String = connection
            .query_row("PRAGMA integrity_check", (), |row| row.get(0))
            .unwrap();
        let mut wrong = Vec::new();
        if found != "ok" {
            wrong.push(format!("the database: {found}"));
        }
        if !self.forgets {
            let large = self.jobs.values().filter(|it| it.image.len() >= LARGE);
            wrong.extend(large.filter_map(|work| {
                let digest = bulkhead::jobs::digest_of(&work.image).to_string();
                let file = state.join("payloads").join(&digest[..2]).join(&digest);
                let is_there = fs::read(file).is_ok_and(|bytes| bytes == work.image);
                (!is_there).then(|| format!("the image of {} is lost", work.mark))
            }));
        }
        wrong
    }

    fn is_forgotten(&self, answer: &Answer) -> bool {
        self.forgets && matches!(answer.status, 404 | 410)
    }

    fn journal(&self) -> PathBuf {
        self.folder.beside("open").join("journal")
    }

    fn gate(&self) -> PathBuf {
        self.folder.beside("open").join("gate")
    }
}
