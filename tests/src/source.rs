//! Source files as rules see them: code without comments, without the contents of strings, without
//! tests. Knows enough of Rust for that and no more.

use std::fs;
use std::path::Path;

mod paths;
mod strip;

/// A source file.
pub struct Source {
    /// Its path below the folder of sources.
    pub path: String,
    /// Its code, with its lines where they were.
    pub code: String,
}

impl Source {
    /// The file at `path` with this text.
    pub fn new(path: &str, text: &str) -> Self {
        let code = strip::tests(&strip::comments_and_strings(text));
        let path = path.to_owned();
        Self { path, code }
    }

    /// The crate's module that it belongs to: its first folder, or its own name.
    pub fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// Every path into the crate that it names, without the `crate::`, and its line.
    pub fn crate_paths(&self) -> Vec<(usize, String)> {
        let paths = paths::of_crate(&self.code, self.depth());
        let at_line = |(at, path)| (self.line(at), path);
        paths.into_iter().map(at_line).collect()
    }

    /// The lines in which `text` stands, as words of its own.
    pub fn lines_with(&self, text: &str) -> Vec<(usize, &str)> {
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| has_words(line, text))
            .map(|(index, line)| (index + 1, line.trim()))
            .collect()
    }

    /// How many `super` lead from its module to the crate's root.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        folders + usize::from(!self.path.ends_with("/mod.rs"))
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// All source files below `folder` but those that hold tests, in order.
///
/// # Panics
/// When the folder cannot be read.
pub fn below(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    collect(folder, folder, &mut sources);
    assert!(!sources.is_empty(), "no sources in {}", folder.display());
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            if !holds_tests(name) {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source::new(name, &text));
            }
        }
    }
}

/// Such files are modules behind `#[cfg(test)]`, which stands in another file.
fn holds_tests(name: &str) -> bool {
    let name = name.trim_end_matches(".rs");
    let mut parts = name.split('/');
    parts.any(|part| part == "tests" || part == "samples" || part.ends_with("_tests"))
}

fn has_words(line: &str, text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + text.len()..].chars().next();
        let starts = !(before.is_some_and(is_word) && text.starts_with(is_word));
        let ends = !(after.is_some_and(is_word) && text.ends_with(is_word));
        starts && ends
    })
}
