//! When a connection is to end that would not end by itself: because nothing comes, because nothing is read, or because
//! the server stops. Of HTTP/1 the parser knows the most by itself.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::pulse::Pulse;
use super::{Phase, ServerLimits};

/// How long a client may take, when the server stops, to read the rest of an answer that would never have ended.
const ENDLESS_WITHIN: Duration = Duration::from_millis(500);

/// The most bytes that a connection is sent although its client reads no answer: pings, and what answers pings.
const NO_PROGRESS: u64 = 256;

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It takes no more requests.
    EndSoon,
    /// It ends now.
    Cut,
}

/// What is known of a connection from one look to the next.
pub(super) struct Watch {
    pulse: Arc<Pulse>,
    /// Where the parser does not know itself when a client takes too long: HTTP/2.
    limits: Option<ServerLimits>,
    asked: u64,
    written: u64,
    is_told: bool,
}

impl Watch {
    /// Over a connection of HTTP/1.
    pub(super) fn of_one(pulse: Arc<Pulse>) -> Self {
        Self {
            pulse,
            limits: None,
            asked: 0,
            written: 0,
            is_told: false,
        }
    }

    /// Over a connection of HTTP/2.
    pub(super) fn of_two(pulse: Arc<Pulse>, limits: ServerLimits) -> Self {
        Self {
            limits: Some(limits),
            ..Self::of_one(pulse)
        }
    }

    /// Waits until something is to be done.
    pub(super) async fn wait(&mut self, phase: Phase) -> Verdict {
        loop {
            let verdict = match (phase, self.limits) {
                (Phase::Serving, Some(limits)) => self.serving(limits).await,
                (Phase::Serving, None) => std::future::pending().await,
                (Phase::Draining | Phase::Over, _) => self.draining().await,
            };
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
    }

    /// How a connection has ended that did so by itself.
    pub(super) fn tell(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        if error.is_timeout() {
            self.pulse.stats.time_out();
        } else if self.limits.is_some() && error.is_parse() {
            self.pulse.stats.refuse();
        }
        debug!(%error, "connection ended badly");
    }

    /// A stop waits for answers in flight, but for no client that does not read what would never have ended.
    async fn draining(&mut self) -> Option<Verdict> {
        tokio::time::sleep(ENDLESS_WITHIN).await;
        let is_over = match self.limits {
            None => self.pulse.is_endless(),
            Some(_) => {
                let is_idle = !self.pulse.is_running() && !self.has_progressed();
                is_idle && self.pulse.has_streamed()
            }
        };
        is_over.then_some(Verdict::Cut)
    }

    async fn serving(&mut self, limits: ServerLimits) -> Option<Verdict> {
        let within = match self.is_told {
            false => limits.header_timeout,
            true => limits.send_timeout,
        };
        tokio::time::sleep(within).await;
        let asked = self.pulse.asked();
        let is_new = std::mem::replace(&mut self.asked, asked) != asked;
        let is_busy = is_new || self.pulse.is_running() || self.pulse.is_streaming();
        if self.has_progressed() || is_busy {
            return None;
        }
        if !self.is_told {
            self.is_told = true;
            return Some(Verdict::EndSoon);
        }
        self.pulse.stats.time_out();
        Some(Verdict::Cut)
    }

    fn has_progressed(&mut self) -> bool {
        let written = self.pulse.written();
        let before = std::mem::replace(&mut self.written, written);
        written - before > NO_PROGRESS
    }
}
