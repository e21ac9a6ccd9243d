//! `bulkhead jobs show`: all that is known of one job, and the files that came of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::super::at::At;
use super::super::daemon::{Daemon, DaemonError};
use super::super::exit::{Exit, Failure};
use super::super::print;
use super::{route, tell};

/// The name of the file with a job's result.
const RESULT: &str = "result.json";

/// Show all that is known of a job, and save what came of it
#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    at: At,
    /// The job's id
    #[arg(value_name = "ID")]
    id: Uuid,
    /// Save the result, as `result.json`, and all attachments in this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

impl Show {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let json = self.at.json;
        let daemon = self.at.daemon()?;
        let record = daemon
            .get(&route(self.id))
            .inspect_err(|error| match error {
                DaemonError::Refused(refused) if json => print::document(&refused.answer),
                _ => {}
            })?;
        let unknown = || daemon.stranger("it answered in a form of its own");
        let told = tell::job(&record).ok_or_else(unknown)?;
        if json {
            print::document(&record);
        } else {
            print::line(&told);
        }
        if let Some(folder) = &self.save {
            save(&daemon, self.id, &record, folder)?;
        }
        Ok(Exit::Success)
    }
}

/// Fetches all that there is, and writes it down.
fn save(daemon: &Daemon, id: Uuid, record: &Value, folder: &Path) -> Result<(), Failure> {
    if record["status"] != "SUCCESS" {
        let problem = "there is nothing to save: the job has no result";
        return Err(Failure::new(Exit::Failed, problem));
    }
    let route = route(id);
    let fetch = |path: &str, file: &str| {
        let mut bytes = daemon.open(path)?;
        let target = folder.join(file);
        let written = fs::create_dir_all(folder)
            .and_then(|()| io::copy(&mut bytes, &mut File::create(&target)?));
        written.map_err(|error| {
            let problem = format!("cannot save `{}`: {error}", target.display());
            Failure::new(Exit::Failed, problem)
        })?;
        print::error(&format!("saved: {}", target.display()));
        Ok::<_, Failure>(())
    };
    fetch(&format!("{route}/result"), RESULT)?;
    for attachment in record["attachments"].as_array().into_iter().flatten() {
        let name = attachment["name"].as_str().unwrap_or_default();
        let path = format!("{route}/attachments/{}", encoded(name));
        fetch(&path, &file_name(name))?;
    }
    Ok(())
}

/// A plugin chooses the name: only its last part counts, and it replaces no result.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last
        .chars()
        .map(|it| {
            if it.is_control() || it == ':' {
                '_'
            } else {
                it
            }
        })
        .collect();
    match plain.as_str() {
        "" | "." | ".." => "attachment".to_owned(),
        name if name.eq_ignore_ascii_case(RESULT) => format!("attached-{name}"),
        _ => plain,
    }
}

/// A name as one part of a path.
fn encoded(name: &str) -> String {
    let part = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    name.bytes().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_attachments_lead_nowhere_else() {
        for (name, expected) in [
            ("thumbnail.png", "thumbnail.png"),
            ("../../etc/passwd", "passwd"),
            ("a\\b.png", "b.png"),
            ("C:x", "C_x"),
            ("..", "attachment"),
            ("a/", "attachment"),
            ("result.json", "attached-result.json"),
            ("Result.JSON", "attached-Result.JSON"),
            ("a\x1b[2J", "a_[2J"),
        ] {
            assert_eq!(file_name(name), expected);
        }
        assert_eq!(encoded("a b/ü?.png"), "a%20b%2F%C3%BC%3F.png");
    }
}
