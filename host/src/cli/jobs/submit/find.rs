//! Which files the paths of a command line stand for. Reads folders, no file.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use glob::MatchOptions;

/// What the shell makes of patterns: a leading dot must be written, and `*` ends at a slash.
const AS_SHELLS_DO: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A file to submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether it was named, itself or by a pattern; else it lies in a folder that was, where other things may
    /// lie too.
    pub(super) is_named: bool,
}

/// Files, each once, and what was named and is not there.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    pub(super) problems: Vec<String>,
}

/// The files that `paths` stand for, in their order; those of a folder by name.
pub(super) fn find(paths: &[PathBuf], recursive: bool) -> Found {
    let mut found = Found::default();
    for path in paths {
        found.add(path, recursive);
    }
    let mut seen = HashSet::new();
    found
        .sources
        .retain(|source| seen.insert(source.path.clone()));
    found
}

impl Found {
    fn add(&mut self, path: &Path, recursive: bool) {
        match fs::metadata(path) {
            Ok(it) if it.is_dir() => self.folder(path, recursive),
            Ok(_) => self.file(path, true),
            Err(error) => match pattern(path) {
                Some(pattern) => self.matches(pattern),
                None => self.problem(path, &error),
            },
        }
    }

    fn file(&mut self, path: &Path, is_named: bool) {
        let path = plain(path);
        self.sources.push(Source { path, is_named });
    }

    /// Hidden files are skipped, and links to folders: they may lead back.
    fn folder(&mut self, folder: &Path, recursive: bool) {
        let entries =
            fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.problem(folder, &error),
        };
        entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && recursive {
                self.folder(&path, recursive);
            } else if fs::metadata(&path).is_ok_and(|it| it.is_file()) {
                self.file(&path, false);
            }
        }
    }

    /// A pattern stands for files, not for what lies in folders.
    fn matches(&mut self, pattern: &str) {
        let paths = match glob::glob_with(pattern, AS_SHELLS_DO) {
            Ok(paths) => paths,
            Err(error) => return self.problem(Path::new(pattern), &error),
        };
        let before = self.sources.len();
        for path in paths {
            match path {
                Ok(path) if path.is_file() => self.file(&path, true),
                Ok(_) => {}
                Err(error) => self.problem(error.path(), &error.error()),
            }
        }
        if self.sources.len() == before {
            self.problem(Path::new(pattern), &"no file matches");
        }
    }

    fn problem(&mut self, path: &Path, cause: &dyn std::fmt::Display) {
        let problem = format!("cannot read `{}`: {cause}", path.display());
        self.problems.push(problem);
    }
}

/// The path as a pattern, if it is one.
fn pattern(path: &Path) -> Option<&str> {
    path.to_str().filter(|path| path.contains(['*', '?', '[']))
}

/// Without what says nothing: `./a.png` is `a.png`.
fn plain(path: &Path) -> PathBuf {
    let parts = path.components();
    parts.filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with files and folders of all kinds.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "b.png",
            "a.png",
            "c[1].jpg",
            ".hidden.png",
            "deep/d.png",
            "deep/.x.png",
            "deep/er/e.png",
            ".git/f.png",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    #[track_caller]
    fn check(paths: &[&str], recursive: bool, expected: &[&str], problems: usize) {
        let folder = folder();
        let within = |path: &&str| folder.path().join(path);
        let paths: Vec<_> = paths.iter().map(within).collect();
        let found = find(&paths, recursive);
        let sources = found.sources.iter();
        let names: Vec<_> = sources
            .map(|it| it.path.strip_prefix(folder.path()).unwrap().to_str())
            .collect();
        let expected: Vec<_> = expected.iter().map(|it| Some(*it)).collect();
        assert_eq!(names, expected, "{paths:?}");
        assert_eq!(found.problems.len(), problems, "{:?}", found.problems);
    }

    #[test]
    fn paths_stand_for_files() {
        check(&["b.png", "a.png"], false, &["b.png", "a.png"], 0);
        check(&[""], false, &["a.png", "b.png", "c[1].jpg"], 0);
        let all = ["a.png", "b.png", "c[1].jpg", "deep/d.png", "deep/er/e.png"];
        check(&[""], true, &all, 0);
        check(&["*.png"], false, &["a.png", "b.png"], 0);
        check(
            &["**/*.png"],
            false,
            &["a.png", "b.png", "deep/d.png", "deep/er/e.png"],
            0,
        );
        check(&["dee*"], false, &[], 1);
        check(&["?.png"], true, &["a.png", "b.png"], 0);
        // A file that has the name of a pattern is that file.
        check(&["c[1].jpg"], false, &["c[1].jpg"], 0);
        check(
            &[".hidden.png", ".git/f.png"],
            false,
            &[".hidden.png", ".git/f.png"],
            0,
        );
        check(
            &["b.png", "", "./a.png", "*.png"],
            false,
            &["b.png", "a.png", "c[1].jpg"],
            0,
        );
        check(&["gone.png", "a.png", "*.gif"], false, &["a.png"], 2);
        check(&["[.png"], false, &[], 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_lead_nowhere() {
        let folder = folder();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("round")).unwrap();
        std::os::unix::fs::symlink("a.png", folder.path().join("z.png")).unwrap();
        std::os::unix::fs::symlink("gone", folder.path().join("y.png")).unwrap();
        let found = find(&[folder.path().to_owned()], true);
        assert_eq!(found.sources.len(), 6, "{found:?}");
        assert!(found.sources.iter().all(|source| !source.is_named));
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        for (path, expected) in [
            ("./a", "a"),
            ("a/./b", "a/b"),
            ("../a", "../a"),
            ("/a", "/a"),
        ] {
            assert_eq!(plain(Path::new(path)), Path::new(expected));
        }
    }
}
