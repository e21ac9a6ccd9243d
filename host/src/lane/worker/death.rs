//! Why a worker is dead: from its exit status, its own report and its last words to the error that
//! its call ends with.

use std::fmt;

use super::output::Printed;
use crate::error::{CallError, Traceback};
use crate::loader::Symbols;
use crate::platform::Exit;
use crate::platform::crash::{self, CrashReport};

/// What a worker without memory says, in the words of Rust's and C++'s own libraries.
const LAST_WORDS: &[&str] = &["memory allocation of ", "std::bad_alloc", "Out of memory"];

/// How a worker has died.
#[derive(Clone, Debug)]
pub(super) struct Death {
    cause: Cause,
    report: Option<CrashReport>,
    last_lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// Of a signal, by its name.
    Signal(String),
    /// By its own will.
    Exit(i32),
    /// Of a signal, because it had no memory left: so many bytes it might have had.
    Memory { limit: u64, signal: String },
}

/// What is known of a death, as of now.
pub(super) fn account(
    exit: Option<Exit>,
    report: Option<CrashReport>,
    printed: &Printed,
    limit: u64,
) -> Death {
    let last_lines = printed.last_lines();
    let signal = match (&report, exit) {
        (Some(report), _) => Ok(report.signal_name()),
        (None, Some(Exit::Signal(signal))) => Ok(crash::signal_name(signal)),
        (None, Some(Exit::Code(code))) => Err(code),
        (None, Some(Exit::OutOfMemory)) => Ok(crash::signal_name(9)),
        // It closed its channel and lives on, and is ended for that.
        (None, None) => Ok(crash::signal_name(9)),
    };
    let is_told = exit == Some(Exit::OutOfMemory);
    let cause = match signal {
        Ok(signal) if is_told || lacked_memory(report.as_ref(), &signal, &last_lines, limit) => {
            Cause::Memory { limit, signal }
        }
        Ok(signal) => Cause::Signal(signal),
        Err(code) => Cause::Exit(code),
    };
    Death {
        cause,
        report,
        last_lines,
    }
}

/// As far as can be seen where the system does not say: at 95 % of its limit, or with a failed allocation as its last word.
fn lacked_memory(
    report: Option<&CrashReport>,
    signal: &str,
    last_lines: &[String],
    limit: u64,
) -> bool {
    let data = report.and_then(|report| report.data).unwrap_or_default();
    let at_limit = data >= limit / 100 * 95;
    let said_so = |line: &String| LAST_WORDS.iter().any(|words| line.contains(words));
    at_limit || signal == "SIGABRT" && last_lines.iter().rev().take(3).any(said_so)
}

impl Death {
    /// The host has ended it, because it held more than its limit.
    pub(super) fn blame_memory(&mut self, limit: u64) {
        let signal = crash::signal_name(9);
        self.cause = Cause::Memory { limit, signal };
    }

    /// The error of a call that it has ended. `retryable` if another call is to blame.
    pub(super) fn into_error(self, symbols: &Symbols, retryable: bool) -> CallError {
        let cause = self.cause.clone();
        let symbols = symbols.clone();
        // Naming functions takes long: it is put off.
        let traceback = Traceback::later(move || self.tell(&symbols));
        match cause {
            Cause::Signal(signal) => CallError::Crashed {
                signal,
                retryable,
                traceback,
            },
            Cause::Exit(exit_code) => CallError::Exited {
                exit_code,
                traceback,
            },
            Cause::Memory { limit, .. } => CallError::OutOfMemory { limit, traceback },
        }
    }

    /// The account for operators.
    pub(super) fn tell(&self, symbols: &Symbols) -> String {
        let mut text = self.to_string();
        if let Some(report) = &self.report {
            let named = symbols.name_crash(report.ip, &report.backtrace);
            if let Some(function) = &named.function {
                text += &format!("\nin {function}");
            }
            text += &format!("\n{}", named.text);
        }
        if !self.last_lines.is_empty() {
            text += "\nthe last lines that it printed:";
            for line in &self.last_lines {
                text += &format!("\n  {line}");
            }
        }
        text
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Signal(signal) => write!(f, "the worker died of {signal}")?,
            Cause::Exit(code) => write!(f, "the worker exited with code {code}")?,
            Cause::Memory { limit, signal } => {
                write!(
                    f,
                    "the worker died of {signal}, out of its {} MiB",
                    limit >> 20
                )?;
            }
        }
        let Some(report) = &self.report else {
            return Ok(());
        };
        if let Some(address) = report.address {
            write!(f, " at address {address:#x}")?;
        }
        write!(f, " in thread {}", report.thread)
    }
}
