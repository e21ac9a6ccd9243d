//! What can be wrong with the settings, said so that it can be mended. Knows no source but by its name.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// Why there are no settings. As a miette report it shows the line of the file.
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something in the file is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    InFile(Box<InFile>),
    /// A variable of the environment, or a flag, has a value that it cannot have.
    #[error("`{name}`: {problem}")]
    Given {
        /// The variable or the flag.
        name: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// No setting has this variable.
    #[error("unknown variable `{name}`{}", did_you_mean(nearest.as_deref()))]
    UnknownVariable {
        /// As it was set.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// Nothing says where the state may be kept.
    #[error("no folder for the state: give `--state`, or set `BULKHEAD_STATE` or `HOME`")]
    NoState,
}

impl ConfigError {
    /// The whole of it on one line: `file:line:column: text` where it is about a place in the file.
    pub fn one_line(&self) -> String {
        let mut line = match self {
            Self::InFile(fault) => fault.place(),
            Self::Unreadable { .. }
            | Self::Given { .. }
            | Self::UnknownVariable { .. }
            | Self::NoState => String::new(),
        };
        let mut cause: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = cause {
            let gap = if line.is_empty() { "" } else { ": " };
            write!(line, "{gap}{error}").expect("a string takes any text");
            cause = error.source();
        }
        line.replace(char::is_control, " ")
    }
}

/// A place in the file, and what is wrong there.
#[derive(Debug, Error, Diagnostic)]
#[error("{}{problem}", key.as_ref().map_or(String::new(), |key| format!("`{key}`: ")))]
pub struct InFile {
    /// The key whose value it is, from the top: `server.listen`.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: Problem,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    #[source_code]
    pub(super) text: NamedSource<String>,
    #[label("here")]
    pub(super) span: SourceSpan,
}

impl InFile {
    fn place(&self) -> String {
        format!("{}:{}:{}", self.text.name(), self.line, self.column)
    }
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The file is no text.
    #[error("from here on it is not UTF-8 text")]
    NotText,
    /// The file is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// The table has no such key.
    #[error("unknown key `{key}`{}{}", in_table(table), did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// As it is written.
        key: String,
        /// The table that it stands in; empty at the top.
        table: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A value stands where a table should.
    #[error("expected a table, found the {0}")]
    NoTable(&'static str),
    /// The value has the wrong type, or is out of bounds.
    #[error("{0}")]
    Value(String),
    /// The value is no Unicode text.
    #[error("its value is no Unicode text")]
    NotUnicode,
    /// A lane that cannot run calls on the calling task.
    #[error(
        "`inline` needs `lane = \"in-process\"`: a worker's code never runs on the calling task"
    )]
    InlineWorker,
    /// Messages that nobody could tell from a stranger's.
    #[error(
        "whoever is told of a job must be able to tell that it was this host: set `secret` in [jobs.callbacks] to \
         `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them"
    )]
    Unsigned,
    /// A certificate without a key, or the other way round.
    #[error("TLS needs both `certificate` and `key`, or neither")]
    HalfTls,
    /// Payloads that only one of several hosts would have.
    #[error(
        "\"files\" are on one machine, and the hosts that share a PostgreSQL store may be on several: write \
         \"database\", \"s3://bucket/prefix\", or the absolute path of a folder that all of them share"
    )]
    LocalPayloads,
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| {
        format!(": did you mean `{nearest}`?")
    })
}

fn in_table(table: &str) -> String {
    match table {
        "" => String::new(),
        table => format!(" in [{table}]"),
    }
}
