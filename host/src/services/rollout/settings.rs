//! Settings that are read again while the host runs: where they come from, and what becomes of them. Knows no file.

use std::sync::Arc;

use super::reconciler::Reconciler;
use super::wish::Wish;
use crate::config::Config;
use crate::error::CallError;
use crate::events::{Event, Kind};

/// The sources of the settings, as the command line has put them together.
pub trait SettingsSource: Send + Sync {
    /// Reads them again; blocks on the disk.
    ///
    /// # Errors
    /// What is wrong, in one line with its place.
    fn read(&self) -> Result<Config, String>;

    /// These hold from now on.
    fn adopted(&self, config: &Config);
}

impl Reconciler {
    /// Reads the settings again; where they have a fault, the old ones stay in force.
    pub(super) async fn configure(
        &mut self,
        settings: Option<&Arc<dyn SettingsSource>>,
    ) -> Result<(), CallError> {
        let Some(settings) = settings.map(Arc::clone) else {
            return Ok(());
        };
        let source = Arc::clone(&settings);
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let fresh = match read.unwrap_or_else(|panic| Err(panic.to_string())) {
            Ok(fresh) => fresh,
            Err(problem) => {
                let event = Event::of(Kind::ConfigurationRejected).reason(&problem);
                self.common.tell(event);
                let reason =
                    format!("configuration_invalid: {problem}; the one before stays in force");
                return Err(CallError::unavailable(reason));
            }
        };
        let running = self.common.running();
        let (adopted, waits) = running.adopt(fresh);
        if adopted == *running && waits.is_empty() {
            return Ok(());
        }
        settings.adopted(&adopted);
        self.common.host.running.store(Arc::new(adopted));
        let mut event = Event::of(Kind::ConfigurationApplied);
        if !waits.is_empty() {
            event = event
                .reason("some changed settings wait for a restart")
                .detail("waiting", waits);
        }
        self.common.tell(event);
        self.wish_again();
        Ok(())
    }

    /// The settings of plugins may be others than before.
    fn wish_again(&self) {
        let running = self.common.running();
        for (name, handle) in &self.rollouts {
            let config = running.plugin(name);
            let staged = Arc::clone(&handle.wish.borrow().staged);
            handle.wish(Wish { staged, config });
        }
    }
}
