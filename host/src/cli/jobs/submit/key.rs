//! The word that makes a second submission of a picture the same job. Knows no daemon.

use std::fmt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::picture::Picture;
use crate::names::Digest;

/// The name of the run of all who give `--once`.
const ONCE: &str = "once";

/// All submissions that are to be one, as far as their pictures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    name: String,
    plugin: String,
    options: String,
}

impl Run {
    /// The run with this name: that of a journal, or a new one.
    pub(super) fn named(name: impl fmt::Display, plugin: &str, options: Option<&str>) -> Self {
        Self {
            name: name.to_string(),
            plugin: plugin.to_owned(),
            options: options.unwrap_or_default().to_owned(),
        }
    }

    /// The run of all who give `--once`.
    pub(super) fn once(plugin: &str, options: Option<&str>) -> Self {
        Self::named(ONCE, plugin, options)
    }

    /// The key of a picture in this run.
    pub(super) fn key(&self, path: &Path, picture: &Picture) -> Digest {
        let mut hasher = Sha256::new();
        let parts: [&[u8]; 6] = [
            self.name.as_bytes(),
            self.plugin.as_bytes(),
            self.options.as_bytes(),
            path.as_os_str().as_encoded_bytes(),
            &picture.bytes.to_le_bytes(),
            picture.sha256.bytes(),
        ];
        for part in parts {
            // Their lengths, so that nothing can move from one part to the next.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Digest::new(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    #[test]
    fn whatever_differs_makes_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            Picture::read(&path).unwrap()
        });
        let run = |name: &str, plugin, options| Run::named(name, plugin, options);
        let path = Path::new;
        let keys = [
            run("r", "p", None).key(path("a"), &a),
            run("s", "p", None).key(path("a"), &a),
            run("r", "q", None).key(path("a"), &a),
            run("r", "p", Some("{}")).key(path("a"), &a),
            run("r", "p", None).key(path("b"), &a),
            run("r", "p", None).key(path("a"), &b),
            // The same letters, otherwise divided.
            run("rp", "", None).key(path("a"), &a),
            run("", "rp", None).key(path("a"), &a),
            Run::once("p", None).key(path("a"), &a),
        ];
        let all: HashSet<_> = keys.iter().collect();
        assert_eq!(all.len(), keys.len());
        assert_eq!(run("r", "p", None).key(path("a"), &a), keys[0]);
        assert_eq!(Run::once("p", None).key(path("a"), &a), keys[8]);
    }
}
