//! The families of the host as a whole.

use std::fmt;

use super::family::{Families, alone};
use crate::events::Kind;
use crate::http::{EdgeCounts, Services};

/// What the host counts.
#[derive(Debug)]
pub(super) struct HostCounts {
    edge: EdgeCounts,
    bytes: u64,
    limit: u64,
    refused: u64,
    events: Vec<(Kind, u64)>,
    is_ready: bool,
}

impl HostCounts {
    /// As of now.
    pub(super) fn of(services: &Services) -> Self {
        let budget = &services.budget;
        Self {
            edge: services.edge.counts(),
            bytes: budget.in_flight(),
            limit: budget.limit(),
            refused: budget.refused(),
            events: services.events.counts().collect(),
            is_ready: services.state.is_ready(&services.plugins),
        }
    }
}

/// Writes them.
pub(super) fn tell(counts: &HostCounts, families: &mut Families<'_, '_>) -> fmt::Result {
    let build = vec![
        ("version", env!("CARGO_PKG_VERSION")),
        ("os", std::env::consts::OS),
        ("arch", std::env::consts::ARCH),
    ];
    families.info("bulkhead_build", "What this host is.", [build])?;
    families.gauge(
        "bulkhead_ready",
        "Whether the host answers that it is ready.",
        alone(counts.is_ready.into()),
    )?;
    connections(&counts.edge, families)?;
    families.gauge(
        "bulkhead_bytes_in_flight",
        "Bytes of requests that the host holds.",
        alone(counts.bytes),
    )?;
    families.gauge(
        "bulkhead_bytes_in_flight_limit",
        "The most bytes of requests that the host holds.",
        alone(counts.limit),
    )?;
    families.counter(
        "bulkhead_over_budget",
        "How often there was no room for the bytes of a request.",
        alone(counts.refused),
    )?;
    let events = counts.events.iter();
    families.counter(
        "bulkhead_events",
        "What has happened to plugins, jobs and the host.",
        events.map(|(kind, count)| (vec![("kind", kind.as_str())], *count)),
    )
}

fn connections(edge: &EdgeCounts, families: &mut Families<'_, '_>) -> fmt::Result {
    families.gauge(
        "bulkhead_connections",
        "Connections that are open.",
        alone(edge.open),
    )?;
    families.counter(
        "bulkhead_connections_accepted",
        "Connections that were accepted.",
        alone(edge.accepted),
    )?;
    families.counter(
        "bulkhead_connections_refused",
        "Connections that were closed for what came over them.",
        alone(edge.refused),
    )?;
    families.counter(
        "bulkhead_connections_timed_out",
        "Connections that were closed because nothing came, or nothing was read.",
        alone(edge.timed_out),
    )
}
