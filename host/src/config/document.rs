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
use super::places::{Place, Places};

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

    /// A problem that only shows when all sources are known: with the value at `path`.
    pub(super) fn fault_at(&self, path: &[&str], problem: Problem) -> ConfigError {
        match self.places.at(path) {
            Some(place) => self.text.value_fault(Some(place), &place.value, problem),
            None => self.text.fault(None, &(0..0), problem),
        }
    }
}

struct Text {
    path: PathBuf,
    text: String,
}

impl Text {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(ConfigError::Unreadable { path, source }),
        };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => Err(ConfigError::NotText {
                path,
                offset: error.utf8_error().valid_up_to(),
            }),
        }
    }

    fn parse(self) -> Result<Document, ConfigError> {
        let tree = DeTable::parse(&self.text).map_err(|error| self.syntax_fault(&error))?;
        let places = Places::of(tree.get_ref());
        if let Some((place, problem)) = places.first_unknown() {
            return Err(self.fault(None, &place.key, problem));
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
                Err(self.value_fault(places.around(&span), &span, problem))
            }
        }
    }

    fn syntax_fault(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let problem = Problem::Syntax(error.message().to_owned());
        self.fault(None, &span, problem)
    }

    fn value_fault(
        &self,
        place: Option<&Place>,
        span: &Range<usize>,
        problem: Problem,
    ) -> ConfigError {
        self.fault(place.map(Place::dotted), span, problem)
    }

    fn fault(&self, key: Option<String>, span: &Range<usize>, problem: Problem) -> ConfigError {
        let (line, column) = self.position(span.start);
        let name = self.path.display().to_string();
        ConfigError::InFile(Box::new(InFile {
            key,
            problem,
            line,
            column,
            text: NamedSource::new(name, self.text.clone()).with_language("TOML"),
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
