//! What the edge counts: connections, and what became of them. Knows no request.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of the edge, since the host started.
#[derive(Debug, Default)]
pub struct EdgeStats {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeCounts {
    /// Connections that are open now.
    pub open: u64,
    /// Connections so far.
    pub accepted: u64,
    /// Connections that were closed for what came over them: no HTTP, no TLS, a head that is too large.
    pub refused: u64,
    /// Connections that were closed because nothing came, or nothing was read.
    pub timed_out: u64,
}

impl EdgeStats {
    /// The counts now.
    pub fn counts(&self) -> EdgeCounts {
        let [open, accepted, refused, timed_out] =
            [&self.open, &self.accepted, &self.refused, &self.timed_out]
                .map(|count| count.load(Ordering::Relaxed));
        EdgeCounts {
            open,
            accepted,
            refused,
            timed_out,
        }
    }

    /// A connection, open until the guard is dropped.
    pub(super) fn accept(&self) -> OpenConnection<'_> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self)
    }
}

/// Counts a connection as open.
pub(super) struct OpenConnection<'a>(&'a EdgeStats);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
