//! The file as JSON Schema, draft 7: what editors of TOML understand. Made from the types that read the file.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::forms::FORM;
use super::key;
use crate::config::layer::Layer;

/// The schema of `bulkhead.toml`.
pub fn schema() -> Value {
    let mut schema = raw();
    for key in key::all() {
        let Some(property) = property(&mut schema, &key.path()) else {
            continue;
        };
        property["description"] = json!(key.sentence());
        if let Some(default) = key.plain_default() {
            property["default"] = default;
        }
    }
    // The keys of one plugin are the same; their default is what `[plugins.defaults]` says.
    let mut one = schema["properties"]["plugins"]["properties"]["defaults"].clone();
    let keys = one["properties"].as_object_mut().into_iter().flatten();
    for (_, property) in keys {
        without(property, "default");
    }
    if let Some(named) = pattern_of_plugins(&mut schema) {
        without(&mut one, "description");
        *named = one;
    }
    strip(&mut schema, FORM);
    schema["title"] = json!("bulkhead.toml");
    schema["description"] = json!("The settings of a Bulkhead host.");
    schema
}

/// As it is derived, tidied, with the forms in words still in it.
pub(super) fn raw() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Layer>();
    let mut schema = schema.to_value();
    tidy(&mut schema);
    schema
}

/// What is said of the key at `path`.
pub(super) fn property<'a>(schema: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(schema, |schema, key| {
        schema.get_mut("properties")?.get_mut(*key)
    })
}

fn pattern_of_plugins(schema: &mut Value) -> Option<&mut Value> {
    let plugin = property(schema, &["plugin"])?.as_object_mut()?;
    let patterns = plugin.get_mut("patternProperties")?.as_object_mut()?;
    patterns.values_mut().next()
}

/// TOML knows no null, and people no line breaks of ours.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            without_null(map);
            map.retain(|key, value| !(key == "default" && value.is_null()));
            map.values_mut().for_each(tidy);
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            enumerate(map);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|it| it != "null");
        if let [one] = types.as_slice() {
            map["type"] = one.clone();
        }
    }
    if let Some(Value::Array(all)) = map.get_mut("anyOf") {
        all.retain(|it| it["type"] != "null");
        if let [Value::Object(one)] = all.as_mut_slice() {
            let one = std::mem::take(one);
            map.remove("anyOf");
            for (key, value) in one {
                map.entry(key).or_insert(value);
            }
        }
    }
}

/// A choice of words as one list, with what each means beside it, where editors look for it.
fn enumerate(map: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = map.get("oneOf") else {
        return;
    };
    let words: Vec<_> = choices.iter().map(|it| it["const"].clone()).collect();
    if words.iter().any(Value::is_null) {
        return;
    }
    let meanings: Vec<_> = choices.iter().map(|it| it["description"].clone()).collect();
    map.remove("oneOf");
    map.insert("type".to_owned(), json!("string"));
    map.insert("enum".to_owned(), Value::Array(words));
    map.insert(
        "x-taplo".to_owned(),
        json!({ "docs": { "enumValues": meanings } }),
    );
}

fn without(value: &mut Value, key: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(key);
    }
}

fn strip(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => {
            map.remove(key);
            map.values_mut().for_each(|value| strip(value, key));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| strip(value, key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
