//! Secrets, the file that keeps their digests, and the gate.

mod file;
mod gate;

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::error::{CallError, Code};

/// A folder with tokens, on whichever address the host listens.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state/tokens.json")
    }

    fn token(&self, name: &str, role: Role) -> (Token, Secret) {
        let new = New {
            name: name.to_owned(),
            role,
            expires: None,
            rate: None,
        };
        create(&self.path(), new).unwrap()
    }

    fn gate(&self, rules: Rules) -> Access {
        Access::open(&self.path(), rules).unwrap()
    }
}

/// Reached from elsewhere, with no rate.
const REMOTE: Rules = Rules {
    is_local: false,
    local_needs: false,
    insecure: false,
    rate: 0,
    burst: 50,
};

fn bearer(secret: &Secret) -> Shown<'_> {
    Shown::Bearer(secret.as_str().as_bytes())
}

fn code(admitted: &Result<Option<Caller>, CallError>) -> Code {
    admitted.as_ref().unwrap_err().code()
}
