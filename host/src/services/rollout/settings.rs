//! Where the operator's settings come from, for whoever reads them again. Knows no file.

use crate::config::Config;

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
