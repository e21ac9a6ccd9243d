//! One picture on its way to a job. Knows the route and which refusals are of all pictures.

use std::path::Path;

use serde_json::Value;
use uuid::Uuid;

use super::super::super::daemon::{Daemon, DaemonError, Refused};
use super::super::crew::Stop;
use super::super::patience::Patience;
use super::find::Source;
use super::journal::{Accepted, Entry};
use super::key::Run;
use super::picture::Picture;

/// Codes that every other picture would be refused with too.
const OF_ALL: [&str; 8] = [
    "plugin_not_found",
    "invalid_options",
    "malformed_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "unsupported_media_type",
];

/// What came of a picture.
pub(super) enum Fate {
    /// It is a job.
    Accepted(Entry),
    /// It was one before this command began.
    Before(Uuid),
    /// It lies in a folder, and is no picture.
    NoPicture,
    /// Its file cannot be read, or tells no type.
    Unreadable(String),
    /// The daemon does not take it.
    Refused(Refused),
    /// No picture will be taken, or none for now.
    Lost(DaemonError),
}

/// Submits pictures.
pub(super) struct Uploads<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) patience: &'a Patience<'a>,
    pub(super) run: &'a Run,
    /// What the journal has.
    pub(super) accepted: &'a Accepted,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) mime_type: Option<&'a str>,
}

impl Uploads<'_> {
    /// Submits one picture; `None` where the work is to end before it is.
    pub(super) fn submit(&self, source: &Source, stop: &Stop) -> Option<Fate> {
        let unreadable = |error: std::io::Error| Fate::Unreadable(error.to_string());
        let picture = match Picture::read(&source.path) {
            Ok(picture) => picture,
            Err(error) => return Some(unreadable(error)),
        };
        let Some(mime_type) = self.mime_type.or(picture.mime_type) else {
            return Some(no_type(source));
        };
        if self.mime_type.is_none() && !source.is_named && !mime_type.starts_with("image/") {
            return Some(Fate::NoPicture);
        }
        let key = self.run.key(&source.path, &picture);
        if let Some(job) = self.accepted.get(&key.to_string()) {
            return Some(Fate::Before(*job));
        }
        let mut problem = None;
        let answer = self.patience.persist(stop, || {
            problem = None;
            let (answer, broken) = self.send(&source.path, &picture, mime_type, &key.to_string());
            problem = broken;
            match (&problem, answer) {
                // Not the daemon's fault, and not to be tried again.
                (Some(_), Err(_)) => Ok(None),
                (_, answer) => answer.and_then(|job| self.id(&job).map(Some)),
            }
        })?;
        Some(match answer {
            Ok(Some(job)) => Fate::Accepted(Entry::new(&source.path, picture.sha256, key, job)),
            Ok(None) => Fate::Unreadable(problem.unwrap_or_default()),
            Err(DaemonError::Refused(refused)) if is_of_one(&refused) => Fate::Refused(refused),
            Err(error) => Fate::Lost(error),
        })
    }

    /// The daemon's answer, and what went wrong with the file.
    fn send(
        &self,
        path: &Path,
        picture: &Picture,
        mime_type: &str,
        key: &str,
    ) -> (Result<Value, DaemonError>, Option<String>) {
        let mut body = match picture.body(path) {
            Ok(body) => body,
            Err(error) => {
                let error = error.to_string();
                return (Err(self.daemon.stranger(&*error)), Some(error));
            }
        };
        let length = picture.bytes.to_string();
        let mut headers = vec![
            ("content-type", mime_type),
            ("content-length", &length),
            ("idempotency-key", key),
        ];
        if !picture.is_small() {
            // A large one is sent only once the daemon wants it.
            headers.push(("expect", "100-continue"));
        }
        let query: Vec<_> = self.query.iter().map(|(name, it)| (*name, &**it)).collect();
        let answer = self.daemon.send("/v1/jobs", &query, &headers, &mut body);
        (answer, body.problem())
    }

    fn id(&self, job: &Value) -> Result<Uuid, DaemonError> {
        let id = job["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
        id.ok_or_else(|| self.daemon.stranger("it answered in a form of its own"))
    }
}

fn no_type(source: &Source) -> Fate {
    if source.is_named {
        let problem = "its bytes do not say of what type it is: name it with --type";
        Fate::Unreadable(problem.to_owned())
    } else {
        Fate::NoPicture
    }
}

/// Whether others may be taken where this one was not.
fn is_of_one(refused: &Refused) -> bool {
    let code = refused.answer["error"]["details"]["code"].as_str();
    code.is_some_and(|code| !OF_ALL.contains(&code)) && !refused.is_passing()
}
