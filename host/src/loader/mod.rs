//! From a folder of files to private copies that were checked without running a line of them.
//!
//! In reading order: `scan` walks the folder, `staging` copies one file, `static_check` judges its bytes,
//! `manifest` reads what the plugin says of itself, `trust` who may write, `rejection` why a file is not served.
//! Knows nothing of calls, workers and HTTP.

mod manifest;
mod rejection;
mod scan;
mod staging;
mod static_check;
mod trust;

#[cfg(unix)]
#[cfg(test)]
pub(crate) mod samples;

pub use manifest::{Accepts, Manifest, ManifestError};
pub use rejection::{Refused, Rejection};
pub use scan::{Scan, ScanError, scan};
pub use staging::{Staged, StagingArea, StagingError};
pub use static_check::{Format, Platform, static_check, static_check_for};
pub use trust::Distrust;
