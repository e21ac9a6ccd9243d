//! Which key stands where in a file. Knows which keys there may be, and no value.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::keys;
use crate::names::nearest;

/// Every key of a file, in the order of its lines.
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

    /// The first key that should not be there, or not with such a value.
    pub(super) fn first_misplaced(&self) -> Option<(&Place, Problem)> {
        let misplaced = |place| Some((place, Place::problem(place)?));
        self.0.iter().find_map(misplaced)
    }

    /// The innermost key that `span` belongs to.
    pub(super) fn around(&self, span: &Range<usize>) -> Option<&Place> {
        let holds = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
        self.0
            .iter()
            .filter(|place| holds(&place.key) || holds(&place.value))
            .max_by_key(|place| place.path.len())
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

    fn problem(&self) -> Option<Problem> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let (key, table) = path.split_last()?;
        let known = keys::of(table).is_none_or(|known| known.contains(key));
        if !known {
            return Some(unknown(key, table));
        }
        // A list would do for a struct in serde's eyes: its fields in the order of our source.
        let scalar = self.scalar.filter(|_| keys::is_table(&path))?;
        Some(Problem::NoTable(scalar))
    }
}

fn unknown(key: &str, table: &[&str]) -> Problem {
    let known = keys::of(table).unwrap_or_default().iter().copied();
    Problem::UnknownKey {
        key: key.escape_debug().to_string(),
        table: table.join("."),
        nearest: keys::home(key).or_else(|| nearest(key, known).map(str::to_owned)),
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
