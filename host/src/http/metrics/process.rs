//! The families of the daemon's own process, under the names that all programs use for them.

use std::fmt;

use super::family::{Families, alone};
use crate::platform::ProcessUsage;

/// Writes those that the system tells of.
pub(super) fn tell(usage: &ProcessUsage, families: &mut Families<'_, '_>) -> fmt::Result {
    if let Some(seconds) = usage.cpu_seconds {
        let help = "Processor time of the daemon, without its workers.";
        families.float_counter("process_cpu_seconds", help, seconds)?;
    }
    if let Some(started) = usage.started {
        let help = "When the daemon was started, in seconds since 1970.";
        families.float_gauge("process_start_time_seconds", help, started)?;
    }
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Memory of the daemon that is in use, without its workers.",
            usage.resident_memory,
        ),
        (
            "process_virtual_memory_bytes",
            "Address space of the daemon.",
            usage.virtual_memory,
        ),
        (
            "process_open_fds",
            "Descriptors that the daemon has open.",
            usage.open_fds,
        ),
        (
            "process_max_fds",
            "The most descriptors that the daemon may have open.",
            usage.max_fds,
        ),
        ("process_threads", "Threads of the daemon.", usage.threads),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            families.gauge(name, help, alone(value))?;
        }
    }
    Ok(())
}
