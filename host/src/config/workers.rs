//! How the host treats its workers as a whole. Knows no plugin.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What holds for every worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// `workers.platform`
    pub platform: PlatformKind,
    /// `workers.sandbox`
    pub sandbox: Sandbox,
    /// `workers.spares`
    pub spares: usize,
    /// `workers.uids`
    pub uids: UidRange,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            platform: PlatformKind::Auto,
            sandbox: Sandbox::BestEffort,
            spares: 1,
            uids: UidRange::default(),
        }
    }
}

/// A way of dealing with the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", rename_all = "lowercase")]
#[schemars(!try_from)]
pub enum PlatformKind {
    /// The best that there is for this system.
    Auto,
    /// What only Linux has.
    Linux,
    /// What every system has.
    Portable,
}

impl TryFrom<String> for PlatformKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "linux" if cfg!(target_os = "linux") => Ok(Self::Linux),
            "linux" => Err("this is no Linux: write `auto` or `portable`".to_owned()),
            "portable" => Ok(Self::Portable),
            _ => Err(format!(
                "no platform is called `{}`: there are `auto`, `linux` and `portable`",
                text.escape_debug()
            )),
        }
    }
}

/// How far workers must be shut in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// As far as the system lets us.
    BestEffort,
    /// Wholly, or there are no workers.
    Required,
    /// Not at all.
    Off,
}

/// User ids, the first and the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UidRange {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// The range that systemd takes for its dynamic users: no account has them.
impl Default for UidRange {
    fn default() -> Self {
        let (first, last) = (61_184, 65_519);
        Self { first, last }
    }
}

impl TryFrom<String> for UidRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ends = text.split_once("..");
        let ends = ends.and_then(|(first, last)| {
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        });
        match ends {
            // 0 is root, and the largest stands for no user at all.
            Some((first, last)) if 0 < first && first <= last && last < u32::MAX => {
                Ok(Self { first, last })
            }
            _ => Err(format!(
                "`{}` is no range of user ids: write \"61184..65519\", from 1 on",
                text.escape_debug()
            )),
        }
    }
}

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}
