//! Jobs of a daemon under test: submitted, looked up, waited for, as any client does it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::daemon::{Answer, Daemon, IMAGE};
use crate::folder::Folder;

/// How long a test waits for the end of a job, in seconds.
const LIMIT: u64 = 30;

/// The configuration of a daemon whose plugin `steps` may write a journal beside its folder.
pub fn steps_config(folder: &Folder, more: &str) -> String {
    let open = folder.beside("open");
    std::fs::create_dir_all(&open).unwrap();
    crate::folder::chmod(&open, 0o777);
    crate::folder::chmod(open.parent().unwrap(), 0o755);
    format!("[plugin.steps]\nwrite = [{open:?}]\n{more}")
}

/// A journal that the plugin `steps` may write, which is empty.
pub fn journal(folder: &Folder) -> PathBuf {
    let journal = folder.beside("open").join("journal");
    std::fs::write(&journal, "").unwrap();
    crate::folder::chmod(&journal, 0o666);
    journal
}

/// How often each mark was begun, and how often it ended, by the journal.
pub fn counted(journal: &Path, mark: &str) -> (usize, usize) {
    let text = std::fs::read_to_string(journal).unwrap();
    let count = |what: &str| {
        let start = format!("{what} {mark} ");
        text.lines().filter(|line| line.starts_with(&start)).count()
    };
    (count("begin"), count("end"))
}

/// Somebody who submits jobs, and may go on when the daemon does not.
#[derive(Clone)]
pub struct Submitter {
    agent: ureq::Agent,
    url: String,
}

impl Submitter {
    /// Submits some image to a plugin.
    ///
    /// # Errors
    /// What happened to the connection, where the daemon went away before it answered.
    pub fn try_submit(&self, plugin: &str, options: &Value) -> Result<Answer, ureq::Error> {
        self.try_submit_image(plugin, options, IMAGE)
    }

    /// Submits an image to a plugin.
    ///
    /// # Errors
    /// As [`try_submit`](Self::try_submit).
    pub fn try_submit_image(
        &self,
        plugin: &str,
        options: &Value,
        image: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let request = self.agent.post(&self.url).query("plugin", plugin);
        let request = request.query("options", options.to_string());
        let sent = request.header("content-type", "image/x-any").send(image);
        sent.and_then(Answer::try_of)
    }
}

impl Daemon {
    /// Somebody who submits jobs to it.
    pub fn client(&self) -> Submitter {
        let (agent, url) = (self.agent().clone(), self.url("/v1/jobs"));
        Submitter { agent, url }
    }

    /// Submits some image to a plugin.
    pub fn submit(&self, plugin: &str, options: &Value) -> Answer {
        self.submit_with(plugin, options, &[], &[])
    }

    /// The same, with more in the query, and with headers.
    pub fn submit_with(
        &self,
        plugin: &str,
        options: &Value,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        self.try_submit(plugin, options, query, headers).unwrap()
    }

    /// The same; an error where the daemon went away before it answered.
    ///
    /// # Errors
    /// What happened to the connection.
    pub fn try_submit(
        &self,
        plugin: &str,
        options: &Value,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.agent().post(self.url("/v1/jobs"));
        let options = options.to_string();
        let fixed = [("plugin", plugin), ("options", options.as_str())];
        for (name, value) in fixed.iter().chain(query) {
            request = request.query(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = request.header("content-type", "image/x-any").send(IMAGE);
        sent.and_then(Answer::try_of)
    }

    /// Submits this image to a plugin, and gives the id of the job, which must be accepted.
    pub fn submitted_image(&self, plugin: &str, options: &Value, image: &[u8]) -> String {
        id(&self.submit_image(plugin, options, image))
    }

    /// Submits this image to a plugin.
    pub fn submit_image(&self, plugin: &str, options: &Value, image: &[u8]) -> Answer {
        let request = self.agent().post(self.url("/v1/jobs"));
        let request = request.query("plugin", plugin);
        let request = request.query("options", options.to_string());
        let sent = request.header("content-type", "image/x-any").send(image);
        Answer::of(sent)
    }

    /// Submits, and gives the id of the job, which must be accepted.
    pub fn submitted(&self, plugin: &str, options: &Value) -> String {
        id(&self.submit(plugin, options))
    }

    /// A job as it stands.
    pub fn job(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/jobs/{id}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// A job once it has ended.
    ///
    /// # Panics
    /// When it does not within 30 s.
    pub fn ended(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/jobs/{id}?wait={LIMIT}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            is_final(&answer.body),
            "no end within {LIMIT} s: {}",
            answer.body
        );
        answer.body
    }

    /// Waits until a job has this status.
    pub fn wait_for_status(&self, id: &str, status: &str) -> Value {
        crate::wait::until(&format!("job {id} to be {status}"), || {
            let job = self.job(id);
            (job["status"] == status).then_some(job)
        })
    }

    /// Has a job end.
    pub fn cancel(&self, id: &str) -> Answer {
        Answer::of(
            self.agent()
                .delete(self.url(&format!("/v1/jobs/{id}")))
                .call(),
        )
    }

    /// Has a job run once more.
    pub fn retry(&self, id: &str) -> Answer {
        let url = self.url(&format!("/v1/jobs/{id}/retry"));
        Answer::of(self.agent().post(url).send_empty())
    }

    /// All jobs, the latest first, page by page.
    pub fn jobs(&self, query: &str) -> Vec<Value> {
        let (mut jobs, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/v1/jobs?{query}{cursor}"));
            assert_eq!(page.status, 200, "{}", page.body);
            jobs.extend(page.body["items"].as_array().unwrap().iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return jobs,
            }
        }
    }
}

/// The id of a job that was accepted.
pub fn id(answer: &Answer) -> String {
    assert!(matches!(answer.status, 200 | 202), "{}", answer.brief());
    answer.body["id"].as_str().unwrap().to_owned()
}

/// Whether nothing will come after the job's status.
pub fn is_final(job: &Value) -> bool {
    matches!(
        job["status"].as_str(),
        Some("SUCCESS" | "FAILED" | "CANCELLED")
    )
}

/// `STATUS`, or `STATUS code`: what a test compares.
pub fn brief(job: &Value) -> String {
    let status = job["status"].as_str().unwrap_or("?");
    match job["error"]["details"]["code"].as_str() {
        Some(code) => format!("{status} {code}"),
        None => status.to_owned(),
    }
}

/// Options of the plugin `steps` that wait for a file.
pub fn until(file: &Path) -> Value {
    json!({ "until": file })
}

/// So many milliseconds, as configurations write it.
pub fn millis(time: Duration) -> String {
    format!("\"{}ms\"", time.as_millis())
}
