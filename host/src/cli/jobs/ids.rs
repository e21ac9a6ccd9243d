//! The ids that a command line names, or that stdin lists. Knows not whether there are such jobs.

use std::io::{self, BufRead};

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::super::daemon::one_line;
use super::super::exit::{Exit, Failure};

/// Jobs, by their ids.
#[derive(Args)]
pub(super) struct Ids {
    /// The jobs' ids; `-` reads them from stdin, a line each: an id, or JSON as `list --json` and `submit --json`
    /// print it
    #[arg(value_name = "ID", required = true, value_parser = named)]
    ids: Vec<Named>,
}

/// What the command line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Job(Uuid),
    Stdin,
}

impl Ids {
    /// All of them in their order, each once.
    pub(super) fn read(self) -> Result<Vec<Uuid>, Failure> {
        let mut all = Vec::new();
        for named in self.ids {
            match named {
                Named::Job(id) => all.push(id),
                Named::Stdin => all.extend(listed(io::stdin().lock())?),
            }
        }
        let mut seen = std::collections::HashSet::new();
        all.retain(|id| seen.insert(*id));
        Ok(all)
    }
}

fn named(text: &str) -> Result<Named, String> {
    if text == "-" {
        return Ok(Named::Stdin);
    }
    let id = Uuid::parse_str(text).map_err(|error| error.to_string())?;
    Ok(Named::Job(id))
}

/// The ids of a list; lines that tell of pictures without a job have none.
fn listed(list: impl BufRead) -> Result<Vec<Uuid>, Failure> {
    let mut ids = Vec::new();
    for (at, line) in list.lines().enumerate() {
        let wrong = |problem: String| {
            let problem = format!("line {} of stdin: {problem}", at + 1);
            Failure::new(Exit::Usage, problem)
        };
        let line = line.map_err(|error| wrong(error.to_string()))?;
        let found = id_of(line.trim()).map_err(wrong)?;
        ids.extend(found);
    }
    Ok(ids)
}

fn id_of(line: &str) -> Result<Option<Uuid>, String> {
    let no_id = || {
        let found: String = one_line(line).chars().take(64).collect();
        format!("`{found}` is no job's id")
    };
    if line.is_empty() {
        return Ok(None);
    }
    if !line.starts_with('{') {
        return Uuid::parse_str(line).map(Some).map_err(|_| no_id());
    }
    let document: Value = serde_json::from_str(line).map_err(|_| no_id())?;
    let places = ["/id", "/job/id", "/job"];
    let mut found = places
        .iter()
        .filter_map(|place| document.pointer(place)?.as_str());
    match found.next() {
        Some(id) => Uuid::parse_str(id).map(Some).map_err(|_| no_id()),
        None if document.get("error").is_some() => Ok(None),
        None => Err(no_id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01936f2e-8f0a-7c00-8000-000000000001";

    #[test]
    fn lists_of_ids_have_several_forms() {
        let id = Uuid::parse_str(ID).unwrap();
        for (line, expected) in [
            (ID.to_owned(), Some(id)),
            (format!("  {ID}\r"), Some(id)),
            (format!(r#"{{"id":"{ID}","status":"FAILED"}}"#), Some(id)),
            (format!(r#"{{"path":"a.png","job":"{ID}"}}"#), Some(id)),
            (format!(r#"{{"path":"a","job":{{"id":"{ID}"}}}}"#), Some(id)),
            (r#"{"path":"a","error":{}}"#.to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(id_of(line.trim()), Ok(expected), "{line}");
        }
        for bad in ["x", "{", "{}", r#"{"id":"x"}"#, r#"{"id":1}"#, "\x1b[2J"] {
            let problem = id_of(bad).unwrap_err();
            assert!(!problem.contains(char::is_control), "{problem}");
        }
        let list = format!("{ID}\n\n{ID}\n");
        assert_eq!(listed(list.as_bytes()).unwrap(), [id, id]);
        listed(&b"x\n"[..]).unwrap_err();
        listed(&b"\xff\n"[..]).unwrap_err();
    }

    #[test]
    fn a_command_line_names_ids_or_stdin() {
        assert_eq!(named("-"), Ok(Named::Stdin));
        assert_eq!(named(ID), Ok(Named::Job(Uuid::parse_str(ID).unwrap())));
        named("--").unwrap_err();
        named("x").unwrap_err();
    }

    #[test]
    fn an_id_counts_once() {
        let id = Named::Job(Uuid::parse_str(ID).unwrap());
        let ids = Ids {
            ids: vec![id, id, Named::Job(Uuid::nil())],
        };
        let read = ids.read().unwrap();
        assert_eq!(read, [Uuid::parse_str(ID).unwrap(), Uuid::nil()]);
    }
}
