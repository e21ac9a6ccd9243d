//! The file: found, read, and asked for the place of a problem. Knows no environment.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::NamedSource;
use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

use super::error::{ConfigError, InFile, Problem};
use super::layer::Layer;
use super::masked::masked;
use super::places::{Place, Places};

/// Some editors begin a file with this, and nobody sees it; it would count as a column.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A configuration file that was read and found good.
pub(super) struct Document {
    text: Text,
    places: Places,
    pub(super) layer: Layer,
}

impl Document {
    /// The file at `path`, or nothing if there is none.
    pub(super) fn find(path: &Path) -> Result<Option<Self>, ConfigError> {
        match Self::read(path) {
            Err(ConfigError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// The file at `path`, which must be there.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        Text::read(path)?.parse()
    }

    /// Whether the key at `path` is set.
    pub(super) fn says(&self, path: &[&str]) -> bool {
        self.places.at(path).is_some()
    }

    /// The file itself.
    pub(super) fn path(&self) -> &Path {
        &self.text.path
    }

    /// The line in which the key at `path` is set.
    pub(super) fn line(&self, path: &[&str]) -> Option<usize> {
        let place = self.places.at(path)?;
        let (line, _) = self.text.position(place.key.start);
        Some(line)
    }

    /// A problem that only shows when all sources are known: with the value at `path`.
    pub(super) fn fault_at(&self, path: &[&str], problem: Problem) -> ConfigError {
        match self.places.at(path) {
            Some(place) => self.text.fault(Some(place), &place.value, problem),
            None => self.text.fault(None, &(0..0), problem),
        }
    }
}

struct Text {
    path: PathBuf,
    text: String,
    /// The text as reports may show it.
    shown: String,
}

impl Text {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(ConfigError::Unreadable { path, source }),
        };
        let bytes = bytes.strip_prefix(MARK).unwrap_or(&bytes);
        let text = String::from_utf8_lossy(bytes).into_owned();
        let shown = masked(&text, &Places::default());
        let text = Self { path, text, shown };
        match str::from_utf8(bytes) {
            Ok(_) => Ok(text),
            Err(error) => {
                let offset = error.valid_up_to();
                Err(text.fault(None, &(offset..offset), Problem::NotText))
            }
        }
    }

    fn parse(mut self) -> Result<Document, ConfigError> {
        let (tree, errors) = DeTable::parse_recoverable(&self.text);
        let places = Places::of(tree.get_ref());
        self.shown = masked(&self.text, &places);
        if let Some(error) = errors.first() {
            return Err(self.syntax_fault(&places, error));
        }
        if let Some((place, problem)) = places.first_unknown() {
            return Err(self.fault(None, &place.key, problem));
        }
        if let Some((place, problem)) = places.first_no_table() {
            return Err(self.fault(Some(place), &place.value, problem));
        }
        match Layer::deserialize(Deserializer::from(tree)) {
            Ok(layer) => Ok(Document {
                layer,
                places,
                text: self,
            }),
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let problem = Problem::Value(error.message().to_owned());
                Err(self.fault(places.around(&span), &span, problem))
            }
        }
    }

    fn syntax_fault(&self, places: &Places, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let place = places.around(&span);
        let found = self.shown.get(span.clone()).unwrap_or_default();
        let text = match error.message() {
            message if found.is_empty() => message.to_owned(),
            // The parser guesses by the first letter: for `info` it misses the number `inf`.
            _ if place.is_some_and(|place| place.value == span) => {
                format!("`{found}` is no value: text stands in quotes")
            }
            message => format!("{message} `{found}`"),
        };
        self.fault(place, &span, Problem::Syntax(text))
    }

    /// Names the key of `place`, and shows `span`.
    fn fault(&self, place: Option<&Place>, span: &Range<usize>, problem: Problem) -> ConfigError {
        let (line, column) = self.position(span.start);
        let name = self.path.display().to_string();
        ConfigError::InFile(Box::new(InFile {
            key: place.map(Place::dotted),
            problem,
            line,
            column,
            text: NamedSource::new(name, self.shown.clone()).with_language("TOML"),
            span: span.clone().into(),
        }))
    }

    /// Line and column of a byte, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}
