//! Why a file is not served: what was found, what was expected, what to do. Decides nothing itself.

use std::io;
use std::path::Path;

use thiserror::Error;

use super::manifest::ManifestError;
use super::trust::Distrust;
use crate::names::PluginName;

/// The most that is told of what a plugin or the system's loader said, in characters.
const MAX_DETAIL: usize = 600;

/// A file that is not served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}: {}", rejection.explain())]
pub struct Refused {
    /// The name of the file in the plugins folder.
    pub file: String,
    /// The plugin that it claims to be, where that could be read.
    pub plugin: Option<PluginName>,
    /// Why it is not served.
    pub rejection: Rejection,
}

/// Why a file is not served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(
    missing_docs,
    reason = "the text of each variant says what its fields are"
)]
pub enum Rejection {
    #[error("it is {found}, not a regular file; put the library itself or a link to it here")]
    NotRegular { found: &'static str },
    #[error("it has {size} bytes and a plugin may have {limit}; strip it or split it")]
    TooLarge { size: u64, limit: u64 },
    #[error(
        "the file ends at byte {len} but its {part} ends at byte {end}: it is not whole; copy it again"
    )]
    Truncated { part: String, end: u64, len: u64 },
    #[error("it is {found} and this host loads {expected}; build it as a `cdylib` for this system")]
    WrongPlatform { found: String, expected: String },
    #[error("{found}, and a stack here is never executable; link it with `-z noexecstack`")]
    ExecStack { found: &'static str },
    #[error(
        "it carries the {tag} `{path}`, and libraries are searched in the system's folders only; link it without `-rpath`"
    )]
    Rpath { tag: &'static str, path: String },
    #[error("it wants {size} bytes of memory mapped and a plugin may have {limit}; build it again")]
    TooLargeMapping { size: u64, limit: u64 },
    #[error("it needs glibc {needed} and this system has {running}; build it on an older system")]
    NeedsNewerGlibc { needed: String, running: String },
    #[error(
        "it is a good library without a plugin's manifest; if it should be a plugin, use `export_plugin!`"
    )]
    NoManifest,
    #[error("{0}; build it with the SDK's `export_plugin!`")]
    ManifestInvalid(ManifestError),
    #[error(
        "it was built for {found} and this host takes {expected}; build it with the SDK of this host's version"
    )]
    AbiVersion { found: String, expected: String },
    #[error("`{winner}` holds a plugin of the same name and comes first; remove one of the two")]
    DuplicateName { winner: String },
    #[error(transparent)]
    UnsafePermissions(#[from] Distrust),
    /// Where its link leads: mended there, the file itself looks as before.
    #[error(transparent)]
    UnsafeTarget(Distrust),
    #[error("it is {found}, not a shared library; put a plugin's compiled library here")]
    NotALibrary { found: String },
    #[error("cannot {action}: {cause}")]
    Unreadable {
        action: &'static str,
        cause: String,
        /// Whether that may end with the file as it is.
        passing: bool,
    },
    #[error("somebody wrote to it while it was read; it is tried again when it is still")]
    ChangedWhileReading,
    #[error(
        "no private copy of it could be kept in `{folder}`: {cause}; {mend}, and it is tried again"
    )]
    CopyFailed {
        folder: String,
        cause: String,
        mend: &'static str,
    },
    #[error("its private copy is gone; put the file into the plugins folder again")]
    CopyGone,
    #[error(
        "its private copy is damaged: its hash is {found} and should be {expected}; put the file into the plugins folder again"
    )]
    CopyDamaged { found: String, expected: String },
    #[error("the system's loader refused it: {detail}; build it for this system")]
    LoadFailed { detail: String },
    #[error("it needs the library `{library}`, which this system lacks; install it")]
    MissingDependency { library: String },
    #[error(
        "its types are laid out otherwise than this host's: {detail}; build it with this host's SDK"
    )]
    AbiLayout { detail: String },
    #[error("it was built with panic=abort, which would end the host; use the `process` lane")]
    PanicStrategy,
    #[error(
        "`threads = {threads}` is for thread-safe plugins, and this is none; remove the setting"
    )]
    NotThreadSafe { threads: usize },
    #[error("it could not start: {detail}; see to its settings")]
    CreateFailed { detail: String },
    #[error(
        "loading it ended its worker: {detail}; the log has more, and the host serves on without it"
    )]
    LoadCrashed { detail: String },
    #[error(
        "it was not loaded within {limit_ms} ms, and was ended; see what its constructors and `new` wait for"
    )]
    LoadHung { limit_ms: u64 },
    #[error(
        "{generations} builds of it are mapped already and none can be let go; restart the host"
    )]
    RestartRequired { generations: usize },
}

impl Rejection {
    /// The code of `details.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotRegular { .. } => "not_regular",
            Self::TooLarge { .. } => "too_large",
            Self::Truncated { .. } => "truncated",
            Self::WrongPlatform { .. } => "wrong_platform",
            Self::ExecStack { .. } => "exec_stack",
            Self::Rpath { .. } => "rpath",
            Self::TooLargeMapping { .. } => "too_large_mapping",
            Self::NeedsNewerGlibc { .. } => "needs_newer_glibc",
            Self::NoManifest => "no_manifest",
            Self::ManifestInvalid(_) => "manifest_invalid",
            Self::AbiVersion { .. } => "abi_version",
            Self::DuplicateName { .. } => "duplicate_name",
            Self::UnsafePermissions(_) | Self::UnsafeTarget(_) => "unsafe_permissions",
            Self::NotALibrary { .. } => "not_a_library",
            Self::Unreadable { .. } => "unreadable",
            Self::ChangedWhileReading => "changed_while_reading",
            Self::CopyFailed { .. } => "copy_failed",
            Self::CopyGone => "copy_gone",
            Self::CopyDamaged { .. } => "copy_damaged",
            Self::LoadFailed { .. } => "load_failed",
            Self::MissingDependency { .. } => "missing_dependency",
            Self::AbiLayout { .. } => "abi_layout",
            Self::PanicStrategy => "panic_strategy",
            Self::NotThreadSafe { .. } => "not_thread_safe",
            Self::CreateFailed { .. } => "create_failed",
            Self::LoadCrashed { .. } => "load_crashed",
            Self::LoadHung { .. } => "load_hung",
            Self::RestartRequired { .. } => "restart_required",
        }
    }

    /// It did not start, in the plugin's own words.
    pub fn create_failed(words: &str) -> Self {
        let detail = printable(words);
        Self::CreateFailed { detail }
    }

    /// Loading it ended the process that did.
    pub fn load_crashed(account: &str) -> Self {
        let detail = printable(account);
        Self::LoadCrashed { detail }
    }

    /// Loading it took longer than `limit`.
    pub fn load_hung(limit: std::time::Duration) -> Self {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self::LoadHung { limit_ms }
    }

    /// The file could not be read. Who may read it shows in its state; all else may be the host's own lack of
    /// descriptors or memory, a weak disk, or a link whose end is missing for now.
    pub(super) fn unreadable(action: &'static str, error: &io::Error) -> Self {
        Self::Unreadable {
            action,
            cause: error.to_string(),
            passing: error.kind() != io::ErrorKind::PermissionDenied,
        }
    }

    /// The folder of private copies did not take another.
    pub(super) fn copy_failed(folder: &Path, error: &io::Error) -> Self {
        let mend = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
            _ => "see that the host can write there",
        };
        Self::CopyFailed {
            folder: folder.display().to_string(),
            cause: error.to_string(),
            mend,
        }
    }

    /// Whether the same file may be taken later, without a change that shows in its state.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreadable { passing, .. } => *passing,
            other => matches!(
                other,
                Self::ChangedWhileReading | Self::CopyFailed { .. } | Self::UnsafeTarget(_)
            ),
        }
    }

    /// The code and the text: what `details.reason` says.
    pub fn explain(&self) -> String {
        format!("{}: {self}", self.reason())
    }
}

impl From<ManifestError> for Rejection {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Revision { found, expected } => Self::AbiVersion {
                found: format!("ABI revision {found}"),
                expected: format!("revision {expected}"),
            },
            other => Self::ManifestInvalid(other),
        }
    }
}

/// Foreign words, escaped and short.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(char::escape_debug)
        .take(MAX_DETAIL)
        .collect()
}

/// What may be quoted of bytes from outside: printable and short.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 64;
    let dots = if bytes.len() > MAX { "…" } else { "" };
    format!("{}{dots}", bytes[..bytes.len().min(MAX)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_says_what_was_found_and_what_to_do() {
        let check = |rejection: Rejection, text| assert_eq!(rejection.explain(), text);
        check(
            Rejection::Truncated {
                part: "segment 2".into(),
                end: 81920,
                len: 4096,
            },
            "truncated: the file ends at byte 4096 but its segment 2 ends at byte 81920: it is not whole; copy it again",
        );
        check(
            Rejection::NeedsNewerGlibc {
                needed: "9.99".into(),
                running: "2.36".into(),
            },
            "needs_newer_glibc: it needs glibc 9.99 and this system has 2.36; build it on an older system",
        );
        check(
            Rejection::copy_failed(Path::new("/state"), &io::ErrorKind::StorageFull.into()),
            "copy_failed: no private copy of it could be kept in `/state`: no storage space; make room there, and it is tried again",
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_passes_is_told_from_what_the_file_itself_must_mend() {
        use rustix::io::Errno;

        let check = |rejection: Rejection, expected| {
            assert_eq!(rejection.is_passing(), expected, "{rejection}");
        };
        for (error, passes) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::IO, true),
            (Errno::NOENT, true),
            (Errno::ACCESS, false),
            (Errno::PERM, false),
        ] {
            check(Rejection::unreadable("open it", &error.into()), passes);
        }
        for error in [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::ACCESS] {
            check(Rejection::copy_failed(Path::new("/"), &error.into()), true);
        }
        check(Rejection::ChangedWhileReading, true);
        check(Rejection::NoManifest, false);
        check(Rejection::CopyGone, false);
    }
}
