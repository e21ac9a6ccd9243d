//! Where log lines go: to stderr, as text on a terminal and as JSON otherwise; and how many, which
//! can be changed while the process runs.

use std::io::{self, IsTerminal};

use tracing::Dispatch;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use super::print;
use crate::config::{Log, LogFormat};

/// The process's log.
pub(super) struct Logs {
    filter: Handle<EnvFilter, Registry>,
}

impl Logs {
    /// From now on logs what this directive says, which was checked as a setting.
    pub(super) fn set_level(&self, level: &str) {
        // Only a log that is not the process's can have gone: see `start`.
        let _ = self.filter.reload(filter(level));
    }
}

/// Sets the process's log up, and sends panics there.
pub(super) fn start(log: &Log) -> Logs {
    let people = io::stderr().is_terminal();
    let (lines, logs) = dispatch(log, people, io::stderr);
    // The first to set a log up wins; that another has done so in a test is no failure.
    let _ = lines.try_init();
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::force_capture();
        let error = info.payload_as_str().unwrap_or("without text");
        tracing::error!(error, location, %backtrace, "the host panicked");
    }));
    logs
}

/// A log that goes to `writer`, where people may read it.
fn dispatch<W>(log: &Log, people: bool, writer: W) -> (Dispatch, Logs)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let as_text = match log.format {
        LogFormat::Auto => people,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // What the filter makes of a place in the code is remembered there until the filter changes, so
    // that it can be changed costs nothing where nothing is logged.
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let dispatch = if as_text {
        let lines = lines
            .with_ansi(print::is_coloured(people))
            .with_target(false);
        Dispatch::new(registry.with(lines))
    } else {
        let lines = lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false);
        Dispatch::new(registry.with(lines))
    };
    (dispatch, Logs { filter: handle })
}

fn filter(level: &str) -> EnvFilter {
    // What the database is asked has options and results in it, which belong to callers: not even `debug` shows them.
    let quiet = "tokio_postgres=warn".parse().expect("a directive");
    EnvFilter::builder().parse_lossy(level).add_directive(quiet)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_level_changes_while_the_log_is_written() {
        for (format, start) in [(LogFormat::Text, " WARN "), (LogFormat::Json, "{\"")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let log = Log {
                level: "warn".to_owned(),
                format,
            };
            let writer = Arc::new(File::create(file.path()).unwrap());
            let (dispatch, logs) = dispatch(&log, false, writer);
            tracing::dispatcher::with_default(&dispatch, || {
                say("at warn");
                logs.set_level("off,bulkhead=debug");
                say("at debug");
                logs.set_level("off");
                say("at off");
            });
            let written = std::fs::read_to_string(file.path()).unwrap();
            let lines: Vec<_> = written.lines().collect();
            assert_eq!(lines.len(), 3, "{written}");
            assert!(lines[0].contains(start), "{written}");
            assert!(lines[0].contains("warn, at warn"), "{written}");
            assert!(lines[1].contains("warn, at debug"), "{written}");
            assert!(lines[2].contains("debug, at debug"), "{written}");
        }
    }

    fn say(when: &str) {
        tracing::warn!("warn, {when}");
        tracing::debug!("debug, {when}");
    }
}
