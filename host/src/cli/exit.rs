//! Exit codes, all of them, and how a command says why it failed.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use crate::app::StartError;
use crate::config::ConfigError;
use crate::loader::{ScanError, StagingError};

/// The table, as `--help` shows it.
pub(super) const HELP: &str = "\
Exit codes:
  0   it worked
  1   at least one picture could not be analysed, a job failed, or the daemon refused what it was asked for,
      or there is no such token, or one of that name already
  2   the command line is wrong, or a journal or a list of ids that it names
  69  the host cannot start: its address or its state folder is taken; or no daemon answers
  74  the results could not be written: the disk behind stdout is full, say
  75  jobs had not ended when the time of `jobs wait` was over: they go on
  78  the configuration is wrong, the plugins folder or the tokens cannot be used, strangers could come in, or workers
      are not shut in as it says";

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

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Unavailable => Self::from(69),
            Exit::Lost => Self::from(74),
            Exit::Late => Self::from(75),
            Exit::Config => Self::from(78),
        }
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
            error @ StartError::Sandbox(_) => Self::new(Exit::Config, error),
            error @ StartError::Access(_) => Self::new(Exit::Config, chain(&error)),
            StartError::Staging(error @ StagingError::Unsafe(_)) => {
                Self::new(Exit::Config, chain(&error))
            }
            error @ (StartError::State { .. }
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
