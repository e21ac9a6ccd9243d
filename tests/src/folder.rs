//! A plugins folder for one test, in a place that only its owner can write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// A plugins folder, gone with the drop of its last clone.
#[derive(Clone)]
pub struct Folder {
    root: Arc<TempDir>,
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        let root = Arc::new(tempfile::tempdir().unwrap());
        fs::create_dir(root.path().join("plugins")).unwrap();
        let folder = Self { root };
        chmod(&folder.path(), 0o755);
        folder
    }

    /// A folder that holds this library under the name it has.
    pub fn of(library: &Path) -> Self {
        Self::new().with(library)
    }

    /// The same folder with one more library, under the name it has.
    #[must_use]
    pub fn with(self, library: &Path) -> Self {
        let name = library.file_name().unwrap().to_str().unwrap();
        self.put(name, &fs::read(library).unwrap());
        self
    }

    /// Writes a file, in one step for whoever looks at the folder.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let hidden = self.at(&format!(".{name}"));
        fs::write(&hidden, bytes).unwrap();
        chmod(&hidden, 0o755);
        fs::rename(&hidden, self.at(name)).unwrap();
        self.at(name)
    }

    /// The folder's path.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    /// The path of a file in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A path beside the folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

/// Sets a file's or folder's mode.
pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
