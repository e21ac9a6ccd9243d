//! Exit codes, all of them, and how a command says why it failed.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use crate::app::{ListenError, StartError};
use crate::config::ConfigError;
use crate::loader::{ScanError, StagingError};

/// Every code, with what it says.
const TABLE: [(Exit, &str); 7] = [
    (Exit::Success, "it worked"),
    (
        Exit::Failed,
        "at least one picture could not be analysed, a job failed, the daemon refused what it was asked for, or there is no such token, or one of that name already",
    ),
    (
        Exit::Usage,
        "the command line is wrong, or a journal or a list of ids that it names",
    ),
    (
        Exit::Unavailable,
        "the host cannot start or go on: its address, its socket or its state folder is taken, its job store cannot be used; or no daemon answers",
    ),
    (
        Exit::Lost,
        "the results could not be written: the disk behind stdout is full, say",
    ),
    (
        Exit::Late,
        "jobs had not ended when the time of `jobs wait` was over: they go on",
    ),
    (
        Exit::Config,
        "the configuration is wrong, or what it names cannot be used: the plugins folder, the tokens, a certificate, a place for a socket; or strangers could come in, or workers are not shut in as it says",
    ),
];

/// What stands below `bulkhead --help`, and in the manual.
pub(super) fn help() -> String {
    let codes = TABLE.map(|(exit, text)| format!("  {:<3} {text}", exit.code()));
    format!("{EXAMPLES}\n\nExit codes:\n{}", codes.join("\n"))
}

const EXAMPLES: &str = "\
Examples:
  bulkhead serve --plugins target/release
  bulkhead analyze palette photo.jpg --plugins target/release
  bulkhead plugins --daemon http://127.0.0.1:8077
  bulkhead config check /etc/bulkhead/bulkhead.toml";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It worked.
    Success,
    /// At least one picture could not be analysed, a job failed, or the daemon refused.
    Failed,
    /// What the command line names is not what it should be.
    Usage,
    /// The host cannot start for now, or no daemon answers (`EX_UNAVAILABLE`).
    Unavailable,
    /// Results did not reach stdout (`EX_IOERR`).
    Lost,
    /// What was waited for has not come yet (`EX_TEMPFAIL`).
    Late,
    /// What the operator has set up is wrong (`EX_CONFIG`).
    Config,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::Lost => 74,
            Self::Late => 75,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command came to nothing.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    line: String,
    report: Option<miette::Report>,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: impl Display) -> Self {
        Self {
            exit,
            line: error.to_string(),
            report: None,
        }
    }

    /// How the command ends.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// What is said of it.
    #[cfg(test)]
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// The same, with more to say.
    pub(super) fn with(mut self, more: &str) -> Self {
        self.line = format!("{}: {more}", self.line);
        self
    }

    /// Says it on stderr, in one line or, to people, with the place in the file.
    pub(super) fn tell(self) -> Exit {
        match self.report {
            Some(report) if io::stderr().is_terminal() => {
                super::print::error(&format!("{report:?}"))
            }
            _ => super::print::error(&format!("bulkhead: {}", self.line)),
        }
        self.exit
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let line = error.one_line();
        Self {
            exit: Exit::Config,
            line,
            report: Some(miette::Report::new(error)),
        }
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        Self::new(Exit::Config, chain(&error))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Plugins(error) => error.into(),
            error @ (StartError::Sandbox(_) | StartError::Telemetry(_)) => {
                Self::new(Exit::Config, error)
            }
            error @ StartError::Access(_) => Self::new(Exit::Config, chain(&error)),
            StartError::Listen(error @ (ListenError::Tls(_) | ListenError::NoSocket(_))) => {
                Self::new(Exit::Config, chain(&error))
            }
            StartError::Staging(error @ StagingError::Unsafe(_)) => {
                Self::new(Exit::Config, chain(&error))
            }
            error @ (StartError::State { .. }
            | StartError::Listen(_)
            | StartError::Locked(_)
            | StartError::Staging(_)
            | StartError::Jobs(_)
            | StartError::StoreFailed(_)) => Self::new(Exit::Unavailable, chain(&error)),
        }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_stands_in_the_table_once() {
        let codes: BTreeSet<_> = TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, BTreeSet::from([0, 1, 2, 69, 74, 75, 78]));
        assert_eq!(codes.len(), TABLE.len());
    }

    /// The rows of the table as the documentation has them.
    #[test]
    fn the_documentation_has_the_same_table() {
        let rows = TABLE.map(|(exit, text)| format!("| {} | {text} |\n", exit.code()));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/running.md");
        let text = std::fs::read_to_string(path).unwrap();
        let expected = format!("| code | meaning |\n| --- | --- |\n{}", rows.concat());
        assert!(text.contains(&expected), "{path} should have\n{expected}");
        let help = help();
        for (exit, text) in TABLE {
            assert!(
                help.contains(&format!("  {:<3} {text}", exit.code())),
                "{help}"
            );
        }
    }
}
