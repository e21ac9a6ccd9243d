//! What is known of a plugin's earlier builds: which were good, which were taken out again, and which has proven
//! itself. Kept beside the private copies, so that it outlives the host. Knows no generation that runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::loader::Staged;
use crate::names::Digest;
use crate::record;

/// The most builds that are remembered for what became of them, beside those that are kept.
const MOST_REMEMBERED: usize = 32;

/// One plugin's earlier builds.
#[derive(Debug)]
pub(super) struct History {
    file: PathBuf,
    record: Record,
    /// How often it was to be written down.
    edition: u64,
    /// The latest edition that was: threads that write may overtake each other.
    written: Arc<Mutex<u64>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    /// The build that serves, or served when the host ended.
    serving: Option<Build>,
    /// Builds that served well, the latest first.
    good: Vec<Build>,
    /// Builds that were taken out, the latest first.
    refused: Vec<Refusal>,
    /// Builds that are not held to be new any more, the latest first.
    #[serde(default)]
    proven: Vec<String>,
}

/// A build that served well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Build {
    digest: String,
    /// The name that its file had.
    pub(super) file: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refusal {
    digest: String,
    why: String,
}

impl Build {
    /// Its hash; nothing where the record was damaged.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest.parse().ok()
    }
}

impl History {
    /// What `file` says; where it says nothing, nothing is known.
    pub(super) fn load(file: PathBuf) -> Self {
        let record = record::read(&file).unwrap_or_default();
        Self {
            file,
            record,
            edition: 0,
            written: Arc::default(),
        }
    }

    /// The build that serves, or served when the host ended, then those before it, the latest first.
    pub(super) fn good(&self) -> impl Iterator<Item = &Build> {
        self.record.serving.iter().chain(&self.record.good)
    }

    /// The build that served when the host before this one ended.
    pub(super) fn serving(&self) -> Option<&Build> {
        self.record.serving.as_ref()
    }

    /// Whether it is known that a build serves.
    pub(super) fn knows(&self, serving: Digest) -> bool {
        let known = self.record.serving.as_ref();
        known.and_then(Build::digest) == Some(serving)
    }

    /// A build serves: it could be opened.
    pub(super) fn serve(&mut self, build: &Staged) {
        let digest = build.digest.to_string();
        let before = self.record.serving.take();
        self.record.good.retain(|it| it.digest != digest);
        // Of a host that has ended: nobody has said that it is not good.
        if let Some(before) = before.filter(|it| it.digest != digest)
            && !self.record.good.contains(&before)
            && !self
                .record
                .refused
                .iter()
                .any(|it| it.digest == before.digest)
        {
            self.record.good.insert(0, before);
        }
        let file = build.file_name.clone();
        self.record.serving = Some(Build { digest, file });
    }

    /// Why a build was taken out, if it was.
    pub(super) fn refusal(&self, build: Digest) -> Option<&str> {
        let build = build.to_string();
        let mut refused = self.record.refused.iter();
        let found = refused.find(|refused| refused.digest == build)?;
        Some(&found.why)
    }

    /// Whether a build has served for long.
    pub(super) fn has_proven(&self, build: Digest) -> bool {
        self.record.proven.contains(&build.to_string())
    }

    /// A build has served for long.
    pub(super) fn prove(&mut self, build: Digest) {
        let build = build.to_string();
        self.record.proven.retain(|it| *it != build);
        self.record.proven.insert(0, build);
        self.record.proven.truncate(MOST_REMEMBERED);
    }

    /// Keeps no more than so many builds.
    pub(super) fn trim(&mut self, keep: usize) {
        self.record.good.truncate(keep);
    }

    /// A build cannot serve, or is not to.
    pub(super) fn take(&mut self, build: Digest) {
        let build = build.to_string();
        self.record.good.retain(|it| it.digest != build);
        self.record.serving.take_if(|it| it.digest == build);
    }

    /// A build is taken out, and not served again by itself.
    pub(super) fn refuse(&mut self, build: Digest, why: &str) {
        self.pardon(build);
        self.take(build);
        let (digest, why) = (build.to_string(), why.to_owned());
        self.record.refused.insert(0, Refusal { digest, why });
        self.record.refused.truncate(MOST_REMEMBERED);
    }

    /// A build may be served again.
    pub(super) fn pardon(&mut self, build: Digest) {
        let build = build.to_string();
        self.record.refused.retain(|it| it.digest != build);
    }

    /// Writes it down, wherever that does not block; where it cannot be, the next host knows less.
    pub(super) fn keep(&mut self) -> impl FnOnce() -> io::Result<()> + use<> {
        let record = self.record.clone();
        self.latest(move |file| record::keep(file, &record))
    }

    /// Forgets it all: the plugin was removed.
    pub(super) fn forget(mut self) -> impl FnOnce() -> io::Result<()> + use<> {
        self.latest(|file| fs::remove_file(file))
    }

    /// Does something to the file, unless what came later was done already.
    fn latest<F>(&mut self, write: F) -> impl FnOnce() -> io::Result<()> + use<F>
    where
        F: FnOnce(&Path) -> io::Result<()>,
    {
        self.edition += 1;
        let (file, edition) = (self.file.clone(), self.edition);
        let written = Arc::clone(&self.written);
        move || {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written > edition {
                return Ok(());
            }
            *written = edition;
            write(&file)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::Manifest;
    use crate::names::{Accepts, PluginName};

    fn digest(number: u8) -> Digest {
        Digest::new([number; 32])
    }

    fn serve(history: &mut History, number: u8, keep: usize) {
        let area = tempfile::tempdir().unwrap();
        history.serve(&staged(area.path(), number));
        history.trim(keep);
    }

    fn staged(folder: &std::path::Path, number: u8) -> Staged {
        Staged {
            file_name: "p.so".to_owned(),
            path: folder.join("copy"),
            digest: digest(number),
            manifest: Manifest {
                name: PluginName::parse("any").unwrap(),
                version: semver::Version::new(1, 0, 0),
                summary: String::new(),
                accepts: Accepts::parse(vec!["image/*".to_owned()]).unwrap(),
                thread_safe: false,
                abi: 0,
            },
            size: 1,
        }
    }

    fn good(history: &History) -> Vec<Digest> {
        history.good().filter_map(Build::digest).collect()
    }

    #[test]
    fn the_latest_good_builds_are_kept_and_outlive_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history").join("any.json");
        let mut history = History::load(file.clone());
        (1..=5).for_each(|number| serve(&mut history, number, 3));
        serve(&mut history, 4, 3);
        assert!(history.knows(digest(4)) && !history.knows(digest(5)));
        history.refuse(digest(3), "it crashed");
        history.prove(digest(9));
        history.keep()().unwrap();
        let next = History::load(file.clone());
        assert_eq!(good(&next), [digest(4), digest(5), digest(2)]);
        assert_eq!(next.refusal(digest(3)), Some("it crashed"));
        assert!(next.has_proven(digest(9)) && !next.has_proven(digest(4)));
        let late = history.keep();
        history.keep()().unwrap();
        history.prove(digest(1));
        late().unwrap();
        assert!(!History::load(file.clone()).has_proven(digest(1)));
        next.forget()().unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn what_was_taken_out_may_come_back_when_somebody_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::load(folder.path().join("any.json"));
        (0..100).for_each(|number| history.refuse(digest(number), "x"));
        assert_eq!(
            history.refusal(digest(0)),
            None,
            "of so many the first is forgotten"
        );
        history.pardon(digest(99));
        assert_eq!(history.refusal(digest(99)), None);
        assert_eq!(history.refusal(digest(98)), Some("x"));
    }

    #[test]
    fn a_damaged_record_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("any.json");
        fs::write(&file, "{\"good\": [{\"digest\": \"zz\", \"file\"").unwrap();
        assert_eq!(good(&History::load(file)), []);
    }
}
