//! What a plugin is granted beyond its own memory, as the file lists it. Knows no key and no source.

use std::path::PathBuf;

use serde::Deserialize;

/// Variables that are ours, or that make the loader run code: never a plugin's.
const REFUSED: [&str; 3] = ["BULKHEAD_", "LD_", "DYLD_"];

/// A path that is the same from everywhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl TryFrom<String> for AbsolutePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = PathBuf::from(&text);
        if path.is_absolute() && !text.contains('\0') {
            return Ok(Self(path));
        }
        let found = text.escape_debug();
        Err(format!("`{found}` is no absolute path"))
    }
}

/// The name of a variable that is handed on.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct VariableName(pub(super) String);

impl TryFrom<String> for VariableName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let found = text.escape_debug();
        if text.is_empty() || text.contains(['=', '\0']) {
            return Err(format!("`{found}` is no name of a variable"));
        }
        match REFUSED.iter().find(|prefix| text.starts_with(**prefix)) {
            Some(prefix) => Err(format!(
                "`{found}` is handed to no plugin, as nothing is that begins with {prefix}"
            )),
            None => Ok(Self(text)),
        }
    }
}
