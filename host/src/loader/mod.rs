//! From a folder of files to private copies that were checked without running a line of them.
//!
//! In reading order: `scan` walks the folder, `catalog` keeps what it held, `staging` copies one file, `static_check` judges its bytes,
//! `manifest` reads what the plugin says of itself, `trust` who may write, `rejection` why a file is not served.
//! All that runs no foreign code; `open` is what does, and `symbolize` names what it did. Knows nothing of calls,
//! lanes and HTTP.

mod catalog;
mod manifest;
mod open;
mod rejection;
mod scan;
mod staging;
mod static_check;
mod symbolize;
mod trust;

#[cfg(unix)]
#[cfg(test)]
pub(crate) mod samples;

pub use catalog::Catalog;
pub use manifest::{Manifest, ManifestError};
pub use open::{Opened, Symbols, Unchecked, described, open, open_at};
pub use rejection::{Refused, Rejection};
pub use scan::{Scan, ScanError, scan};
pub use staging::{Staged, StagingArea, StagingError, is_plugin_name};
pub use static_check::{Format, Platform, static_check, static_check_for};
pub use symbolize::{Named, tidy_path};
pub use trust::Distrust;
