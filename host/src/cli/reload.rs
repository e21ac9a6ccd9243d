//! Settings that are read again when somebody asks. Knows where they come from, and not who acts on
//! them, but for the log.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task;
use tracing::{error, info, warn};

use super::logs::Logs;
use crate::config::{self, Config, Sources};

/// Takes requests to read the settings again. One that comes while another is carried out is
/// carried out next; more than one are one.
#[derive(Clone, Default)]
pub(super) struct Asking(Arc<Notify>);

impl Asking {
    pub(super) fn ask(&self) {
        self.0.notify_one();
    }
}

/// What a running host has of its settings.
pub(super) struct Settings {
    asked: Asking,
    sources: Sources,
    running: Config,
    logs: Logs,
}

impl Settings {
    /// `running` is what `sources` said when the host was started.
    pub(super) fn new(asked: Asking, sources: Sources, running: Config, logs: Logs) -> Self {
        Self {
            asked,
            sources,
            running,
            logs,
        }
    }

    /// What holds now.
    pub(super) fn running(&self) -> &Config {
        &self.running
    }

    /// Waits until somebody asks, reads the sources and gives what holds from then on: as it was,
    /// where they have a fault. Dropped while it waits, it has missed nothing.
    pub(super) async fn asked(&mut self) -> &Config {
        self.asked.0.notified().await;
        let sources = self.sources.clone();
        match task::spawn_blocking(move || config::read(&sources)).await {
            Ok(Ok(fresh)) => self.adopt(fresh),
            Ok(Err(error)) => {
                let problem = error.one_line();
                error!(problem, "the configuration stays as it was");
            }
            Err(error) => error!(%error, "the configuration stays as it was"),
        }
        &self.running
    }

    fn adopt(&mut self, fresh: Config) {
        let (running, waits) = self.running.adopt(fresh);
        self.logs.set_level(&running.log.level);
        let changed = running != self.running;
        self.running = running;
        info!(changed, "the configuration was read again");
        if !waits.is_empty() {
            let settings = waits.join(", ");
            warn!(settings, "changed settings wait for a restart");
        }
    }
}
