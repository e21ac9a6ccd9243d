//! Which key stands where in a file. Knows which keys there may be, and no value.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::keys;
use crate::names::nearest;

/// Every key of a file, in the order of its lines.
#[derive(Default)]
pub(super) struct Places(Vec<Place>);

/// One key.
pub(super) struct Place {
    /// From the top, the key itself last.
    path: Vec<String>,
    /// Where the key stands, in bytes.
    pub(super) key: Range<usize>,
    /// Where its value stands, in bytes.
    pub(super) value: Range<usize>,
    /// What the value is, if it is no table.
    scalar: Option<&'static str>,
}

impl Places {
    pub(super) fn of(tree: &DeTable<'_>) -> Self {
        let mut places = Vec::new();
        collect(tree, &[], &mut places);
        places.sort_by_key(|place| place.key.start);
        Self(places)
    }

    /// The first key that its table does not have.
    pub(super) fn first_unknown(&self) -> Option<(&Place, Problem)> {
        let unknown = |place| Some((place, Place::unknown(place)?));
        self.0.iter().find_map(unknown)
    }

    /// The first key that should be a table and is none.
    ///
    /// serde would not mind a list: it takes one for the fields of a struct in the order of our source.
    pub(super) fn first_no_table(&self) -> Option<(&Place, Problem)> {
        let no_table = |place| Some((place, Place::no_table(place)?));
        self.0.iter().find_map(no_table)
    }

    /// The innermost key that `span` belongs to.
    pub(super) fn around(&self, span: &Range<usize>) -> Option<&Place> {
        let holds = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
        self.0
            .iter()
            .filter(|place| holds(&place.key) || holds(&place.value))
            .max_by_key(|place| place.path.len())
    }

    /// Where the values of keys of these names stand, whatever table they are in.
    pub(super) fn values_of(&self, names: &[&str]) -> impl Iterator<Item = Range<usize>> {
        let is_named = |place: &&Place| {
            let name = place.path.last();
            name.is_some_and(|name| names.contains(&name.as_str()))
        };
        self.0
            .iter()
            .filter(is_named)
            .map(|place| place.value.clone())
    }

    /// The key at `path`.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Place> {
        self.0.iter().find(|place| place.path == path)
    }
}

impl Place {
    /// The whole key, as it could be written at the top of the file.
    pub(super) fn dotted(&self) -> String {
        self.path.join(".").escape_debug().to_string()
    }

    fn unknown(&self) -> Option<Problem> {
        let path = self.path();
        let (key, table) = path.split_last()?;
        let known = keys::of(table)?;
        if known.contains(key) {
            return None;
        }
        let near = || nearest(key, known.iter().copied()).map(str::to_owned);
        Some(Problem::UnknownKey {
            key: key.escape_debug().to_string(),
            table: table.join(".").escape_debug().to_string(),
            nearest: keys::home(key).or_else(near),
        })
    }

    fn no_table(&self) -> Option<Problem> {
        let scalar = self.scalar.filter(|_| keys::is_table(&self.path()))?;
        Some(Problem::NoTable(scalar))
    }

    fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

fn collect(table: &DeTable<'_>, outer: &[String], places: &mut Vec<Place>) {
    for (key, value) in table {
        let path = [outer, &[key.get_ref().to_string()]].concat();
        let inner = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
        if let Some(inner) = inner {
            collect(inner, &path, places);
        }
        places.push(Place {
            path,
            key: key.span(),
            value: value.span(),
            scalar: inner.is_none().then(|| value.get_ref().type_str()),
        });
    }
}
