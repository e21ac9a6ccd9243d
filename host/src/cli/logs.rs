//! Where log lines go: to stderr, as text on a terminal and as JSON otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Sets the process's log up, and sends panics there.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::builder().parse_lossy(&log.level);
    let people = io::stderr().is_terminal();
    let as_text = match log.format {
        LogFormat::Auto => people,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    // The first to set a log up wins; that another has done so in a test is no failure.
    let _ = if as_text {
        builder.with_ansi(people).with_target(false).try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init()
    };
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::force_capture();
        let message = info.payload_as_str().unwrap_or("without text");
        tracing::error!(message, location, %backtrace, "the host panicked");
    }));
}
