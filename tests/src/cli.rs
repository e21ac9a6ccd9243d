//! The `bulkhead` binary as a command that ends.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixtures;
use crate::folder::Folder;

/// How a command has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub exit: i32,
    /// Its results.
    pub stdout: String,
    /// All else that it said.
    pub stderr: String,
}

/// Runs `bulkhead` to its end.
pub fn run(arguments: &[&str]) -> Ended {
    run_with(arguments, &[])
}

/// The same, with more in its environment.
pub fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = command();
    command.envs(environment.iter().copied());
    let output = command.args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended {
        exit: output.status.code().expect("no signal has ended it"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// What `bulkhead plugins` says of a folder, as [`lines`].
pub fn listed(folder: &Folder) -> String {
    lines(&plugins(folder))
}

/// A list of plugins and refusals: `FILE NAME` or `FILE: REASON`, a line each.
pub fn lines(items: &[Value]) -> String {
    let lines = items.iter().map(|item| {
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        match text("reason").split_once(": ") {
            Some((code, _)) => format!("{}: {code}", text("file")),
            None => format!("{} {}", text("file"), text("name")),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What `bulkhead plugins --json` says of a folder.
pub fn plugins(folder: &Folder) -> Vec<Value> {
    let path = folder.path();
    let ended = run(&["plugins", "--json", "--plugins", path.to_str().unwrap()]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    document["items"].as_array().unwrap().clone()
}

/// The binary in an environment that says nothing of how the tests were started.
pub fn command() -> Command {
    command_behind(&[])
}

/// The same, started by another program.
pub(crate) fn command_behind(starter: &[&str]) -> Command {
    command_of(&fixtures::bulkhead(), starter)
}

/// The same, of another build of it.
pub(crate) fn command_of(binary: &Path, starter: &[&str]) -> Command {
    let mut command = match starter {
        [] => Command::new(binary),
        [starter, arguments @ ..] => {
            let mut command = Command::new(starter);
            command.args(arguments).arg(binary);
            command
        }
    };
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}
