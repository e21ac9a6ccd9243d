//! Every key of the file, with what people are told of it. Knows no value that somebody has set.

use std::path::PathBuf;

use serde_json::Value;

use super::forms::FORM;
use super::schema;
use super::values;
use crate::config::{Config, keys};

/// Defaults that depend on the machine, or on other settings.
const DEPENDENT: [(&str, &str); 3] = [
    ("access.tokens", "`tokens.json` in the state folder"),
    ("plugins.defaults.concurrency", "the number of cores"),
    (
        "jobs.payloads",
        "`\"files\"`; `\"database\"` where the store is PostgreSQL",
    ),
];

/// One key of the file.
pub(in crate::config) struct Key {
    pub(in crate::config) table: &'static [&'static str],
    pub(in crate::config) name: &'static str,
    /// What it means.
    pub(in crate::config) about: String,
    /// What may be written.
    pub(in crate::config) form: String,
    /// The words that may be written, with what each means.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for what is made from the code")
    )]
    pub(in crate::config) words: Vec<(String, String)>,
    /// What holds where nobody says anything.
    default: Option<toml::Value>,
    /// What may be written where there is no such value.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for what is made from the code")
    )]
    example: Option<String>,
}

/// All of them, in the order of the documentation.
pub(in crate::config) fn all() -> Vec<Key> {
    let mut schema = schema::raw();
    let built_in = values::of(&Config::built_in(PathBuf::new()));
    let of_tables = keys::TABLES.into_iter().flat_map(|table| {
        let names = keys::of(table).unwrap_or_default();
        names.iter().map(move |name| (table, *name))
    });
    of_tables
        .filter(|(table, name)| keys::of(&[*table, &[*name]].concat()).is_none())
        .filter_map(|(table, name)| {
            let path = [table, &[name]].concat();
            let property = schema::property(&mut schema, &path)?;
            let default = values::at(&built_in, &path).cloned();
            Some(Key::new(table, name, property, default))
        })
        .collect()
}

/// What is said of a table.
#[cfg(test)]
pub(in crate::config) fn about_table(table: &[&str]) -> String {
    let mut schema = schema::raw();
    let property = schema::property(&mut schema, table);
    property.map_or(String::new(), |it| text(&it["description"]))
}

impl Key {
    fn new(
        table: &'static [&'static str],
        name: &'static str,
        property: &Value,
        default: Option<toml::Value>,
    ) -> Self {
        let meanings = &property["x-taplo"]["docs"]["enumValues"];
        let words = property["enum"].as_array().into_iter().flatten();
        let words = words.enumerate();
        let words = words.map(|(index, word)| (text(word), text(&meanings[index])));
        let words: Vec<_> = words.collect();
        let form = match (&property[FORM], &property["items"][FORM]) {
            (Value::String(form), _) => form.clone(),
            (_, Value::String(form)) => format!("a list; each {form}"),
            _ if property["type"] == "boolean" => "`true` or `false`".to_owned(),
            _ if words.is_empty() => "text".to_owned(),
            _ => {
                let words: Vec<_> = words
                    .iter()
                    .map(|(word, _)| format!("`\"{word}\"`"))
                    .collect();
                words.join(", ")
            }
        };
        Self {
            table,
            name,
            about: text(&property["description"]),
            form,
            words,
            default,
            example: property["examples"][0].as_str().map(str::to_owned),
        }
    }

    pub(in crate::config) fn path(&self) -> Vec<&'static str> {
        [self.table, &[self.name]].concat()
    }

    /// The key from the top of the file.
    pub(in crate::config) fn dotted(&self) -> String {
        self.path().join(".")
    }

    /// All that an editor shows of it.
    pub(in crate::config) fn sentence(&self) -> String {
        let default = match self.dependent() {
            Some(words) => format!(" Default: {words}."),
            None => String::new(),
        };
        let mut form = self.form.chars();
        let first = form.next().map(|it| it.to_ascii_uppercase().to_string());
        let form = first.unwrap_or_default() + form.as_str();
        format!("{} {form}.{default}", self.about)
    }

    /// The default where it is the same everywhere.
    pub(in crate::config) fn plain_default(&self) -> Option<Value> {
        let default = self.default.as_ref().filter(|_| self.dependent().is_none());
        default.and_then(|value| serde_json::to_value(value).ok())
    }

    /// The default, in Markdown.
    #[cfg(test)]
    pub(in crate::config) fn default_in_words(&self) -> String {
        match (self.dependent(), &self.default) {
            (Some(words), _) => words.to_owned(),
            (None, Some(value)) => format!("`{value}`"),
            (None, None) => "none".to_owned(),
        }
    }

    /// What could stand in a file: the default, or what might be there where there is none.
    #[cfg(test)]
    pub(in crate::config) fn sample(&self) -> String {
        let is_of_this_machine = self.dotted() == "plugins.defaults.concurrency";
        match (&self.example, &self.default) {
            _ if is_of_this_machine => "2".to_owned(),
            (_, Some(value)) => value.to_string(),
            (example, None) => toml::Value::from(example.clone().unwrap_or_default()).to_string(),
        }
    }

    pub(in crate::config) fn dependent(&self) -> Option<&'static str> {
        let dotted = self.dotted();
        let own = DEPENDENT.into_iter().find(|(key, _)| *key == dotted);
        own.map(|(_, words)| words)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
