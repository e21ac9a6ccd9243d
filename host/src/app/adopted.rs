//! What of the edge follows settings that were read again: the paces of tokens, and where the certificate is.

use std::sync::Arc;

use super::listen;
use crate::access::Access;
use crate::config::Config;
use crate::http::Tls;
use crate::services::rollout::SettingsSource;

/// The sources of the settings, and what else follows them.
pub(super) struct Followed {
    pub(super) source: Arc<dyn SettingsSource>,
    pub(super) access: Arc<Access>,
    /// Nothing where TLS is not spoken.
    pub(super) tls: Option<Tls>,
}

impl SettingsSource for Followed {
    fn read(&self) -> Result<Config, String> {
        self.source.read()
    }

    fn adopted(&self, config: &Config) {
        self.source.adopted(config);
        let (rate, burst) = (config.access.rate, config.access.burst);
        let access = Arc::clone(&self.access);
        let tls = self.tls.clone().zip(listen::certificate(&config.server));
        // Files are read. What comes of it is told where it happens.
        tokio::task::spawn_blocking(move || {
            access.set_pace(rate, burst);
            if let Some((tls, files)) = tls {
                tls.follow(files);
            }
        });
    }
}
