//! Where settings are read again, and requests to do so. Knows not who acts on a setting, but for the log.

use std::sync::Arc;

use tokio::sync::Notify;

use super::logs::Logs;
use crate::config::{self, Config, Sources};
use crate::services::rollout::SettingsSource;

/// Takes requests to read the settings again. One that comes while another is carried out is
/// carried out next; more than one are one.
#[derive(Clone, Default)]
pub(super) struct Asking(Arc<Notify>);

impl Asking {
    pub(super) fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody asks. Dropped while it waits, it has missed nothing.
    pub(super) async fn asked(&self) {
        self.0.notified().await;
    }
}

/// The sources that the command line has named, and the log that they set.
pub(super) struct Settings {
    sources: Sources,
    logs: Logs,
}

impl Settings {
    pub(super) fn new(sources: Sources, logs: Logs) -> Self {
        Self { sources, logs }
    }
}

impl SettingsSource for Settings {
    fn read(&self) -> Result<Config, String> {
        config::read(&self.sources).map_err(|error| error.one_line())
    }

    fn adopted(&self, config: &Config) {
        self.logs.set_level(&config.log.level);
    }
}
