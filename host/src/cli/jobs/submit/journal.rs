//! What a daemon has accepted, written down as it does, so that a later run goes on from there. Knows no daemon.
//!
//! The first line is `{"run": UUID}`, each other one a picture that was accepted: `{"path", "sha256", "key", "job"}`.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::names::Digest;

/// A journal that is written to, by nobody else.
pub(super) struct Journal {
    file: File,
    /// The name of the run that it is the journal of.
    pub(super) run: Uuid,
}

/// The jobs of pictures that were accepted, by the pictures' keys.
pub(super) type Accepted = HashMap<String, Uuid>;

#[derive(Serialize, Deserialize)]
struct Head {
    run: Uuid,
}

/// A picture that was accepted.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    /// For people: the key has all of it.
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) key: String,
    pub(super) job: Uuid,
}

impl Entry {
    pub(super) fn new(path: &Path, sha256: Digest, key: Digest, job: Uuid) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            sha256: sha256.to_string(),
            key: key.to_string(),
            job,
        }
    }
}

impl Journal {
    /// Opens or begins a journal, with all that stands in it.
    ///
    /// # Errors
    /// A file that is something else is left as it is.
    pub(super) fn open(path: &Path) -> Result<(Self, Accepted), String> {
        let problem = |cause: &dyn std::fmt::Display| {
            format!("cannot use the journal `{}`: {cause}", path.display())
        };
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        let mut file = file.open(path).map_err(|error| problem(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(problem(&"another command writes to it"));
            }
            Err(TryLockError::Error(error)) => return Err(problem(&error)),
        }
        // Devices and pipes may have no end.
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(problem(&"it is no file"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| problem(&error))?;
        let read = read(&bytes).ok_or_else(|| problem(&"it is something else"))?;
        Self::go_on(file, &bytes, read).map_err(|error| problem(&error))
    }

    fn go_on(
        mut file: File,
        bytes: &[u8],
        read: Option<(Uuid, Accepted)>,
    ) -> io::Result<(Self, Accepted)> {
        let Some((run, accepted)) = read else {
            // Nothing was submitted before the first line was whole.
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            let run = Uuid::new_v4();
            let mut journal = Self { file, run };
            journal.write(&[Head { run }])?;
            return Ok((journal, Accepted::new()));
        };
        if !bytes.ends_with(b"\n") {
            // The last line was torn: what comes next begins its own.
            file.write_all(b"\n")?;
        }
        Ok((Self { file, run }, accepted))
    }

    /// Writes pictures down; when it returns they stay, whatever happens.
    pub(super) fn note(&mut self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(entries)
    }

    fn write(&mut self, lines: &[impl Serialize]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        self.file.sync_data()
    }
}

/// The run and the pictures of a journal; the inner `None` for one that has not begun, the outer for what is none.
/// A line that is torn is passed over: its picture is submitted again, under the same key.
fn read(bytes: &[u8]) -> Option<Option<(Uuid, Accepted)>> {
    let begin = br#"{"run":""#;
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        let has_begun = bytes.starts_with(begin) || begin.starts_with(bytes);
        return has_begun.then_some(None);
    };
    let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
    let lines = bytes[end + 1..].split(|byte| *byte == b'\n');
    let entries = lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
    let accepted = entries.map(|entry| (entry.key, entry.job)).collect();
    Some(Some((head.run, accepted)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(number: u8) -> Entry {
        let digest = Digest::new([number; 32]);
        let job = Uuid::from_bytes([number; 16]);
        Entry::new(Path::new("a \"picture\"\n.png"), digest, digest, job)
    }

    fn keys(accepted: &Accepted) -> Vec<u8> {
        let mut numbers: Vec<_> = accepted.values().map(|job| job.as_bytes()[0]).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_journal_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, accepted) = Journal::open(&path).unwrap();
        assert!(accepted.is_empty());
        journal.note(&[entry(1), entry(2)]).unwrap();
        journal.note(&[]).unwrap();
        let run = journal.run;
        drop(journal);
        let (mut journal, accepted) = Journal::open(&path).unwrap();
        assert_eq!((journal.run, keys(&accepted)), (run, vec![1, 2]));
        assert_eq!(
            accepted[&Digest::new([2; 32]).to_string()],
            Uuid::from_bytes([2; 16])
        );
        journal.note(&[entry(3)]).unwrap();
        drop(journal);
        assert_eq!(keys(&Journal::open(&path).unwrap().1), [1, 2, 3]);
        let other = folder.path().join("other");
        assert_ne!(Journal::open(&other).unwrap().0.run, run);
    }

    /// Wherever the last write was cut off, all whole lines count, and what is written next too.
    #[test]
    fn a_torn_end_costs_its_own_line_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        let head = fs::read(&path).unwrap().len();
        journal.note(&[entry(1)]).unwrap();
        let one = fs::read(&path).unwrap().len();
        journal.note(&[entry(2)]).unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, accepted) = Journal::open(&path).unwrap();
            let mut expected = Vec::new();
            // A line without its end is whole all the same.
            expected.extend((cut + 1 >= one).then_some(1));
            expected.extend((cut + 1 >= whole.len()).then_some(2));
            assert_eq!(
                keys(&accepted),
                expected,
                "cut at {cut}, the head has {head}"
            );
            journal.note(&[entry(3)]).unwrap();
            drop(journal);
            expected.push(3);
            assert_eq!(keys(&Journal::open(&path).unwrap().1), expected, "{cut}");
        }
    }

    #[test]
    fn another_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        for text in ["notes\n", "notes", "{\"run\":1}\n", "\n", "\u{89}PNG"] {
            fs::write(&path, text).unwrap();
            let Err(problem) = Journal::open(&path) else {
                panic!("{text:?} is no journal");
            };
            assert!(problem.contains("it is something else"), "{problem}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(Journal::open(folder.path()).is_err());
    }

    #[test]
    fn two_commands_do_not_share_a_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = Journal::open(&path).unwrap();
        let Err(problem) = Journal::open(&path) else {
            panic!("it was opened twice");
        };
        assert!(problem.contains("another command"), "{problem}");
        drop(first);
        Journal::open(&path).unwrap();
    }
}
