//! The plugins' own schemas in the document: under names of their own, with references that lead where they led.
//! A schema that cannot be moved is left out and said so: whatever a plugin declares, the document stays sound.

use serde_json::{Map, Value, json};

use super::operation::reference;
use super::paths;
use crate::registry::PluginStatus;

/// What makes a schema depend on where it stands.
const UNMOVABLE: [&str; 7] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "id",
];
/// Keywords whose value is a schema, a list of them, or a map of them.
const ONE: [&str; 14] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "extends",
    "disallow",
];
const LIST: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
const MAP: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// A plugin, and what it says of itself.
pub(super) struct Described {
    name: String,
    options: Value,
    output: Value,
}

impl Described {
    /// Nothing for one that is not open.
    pub(super) fn of(status: PluginStatus) -> Option<Self> {
        Some(Self {
            name: status.name.to_string(),
            options: status.options_schema?,
            output: status.output_schema?,
        })
    }
}

/// All schemas that depend on the plugins.
pub(super) fn components(described: &[Described]) -> Map<String, Value> {
    let mut components = Map::new();
    for plugin in described {
        for (of, schema) in [("Options", &plugin.options), ("Output", &plugin.output)] {
            let name = component(plugin, of);
            let moved = moved(schema, &name).unwrap_or_else(|| unmoved(plugin, of));
            components.insert(name, moved);
        }
    }
    components.insert("AnalyzeRequest".to_owned(), request(described, json!({})));
    components.insert("JobRequest".to_owned(), request(described, paths::wishes()));
    components.insert("Analysis".to_owned(), analysis(described));
    components
}

fn component(plugin: &Described, of: &str) -> String {
    format!("plugin.{}.{of}", plugin.name)
}

/// The object of a JSON body. Which options it takes is said by its plugin.
fn request(described: &[Described], more: Value) -> Value {
    let mut request = paths::request(more);
    request["description"] = "Which schema the options have to keep is said by `plugin`.".into();
    request["oneOf"] = by_plugin(described, |plugin| {
        let options = reference(&component(plugin, "Options"));
        let options = json!({ "anyOf": [options, { "type": "null" }] });
        json!({ "properties": { "plugin": { "const": plugin.name }, "options": options }, "required": ["plugin"] })
    });
    request
}

/// The answer to an analysis. Which result it has is said by its plugin.
fn analysis(described: &[Described]) -> Value {
    let result = json!({ "type": "object", "description": "The plugin's own output." });
    let fields = json!({
        "result": result,
        "plugin": reference("PluginName"),
        "attachments?": { "type": "array", "items": reference("Attachment") },
    });
    let mut analysis =
        super::schemas::object("Which schema the result keeps is said by `plugin`.", fields);
    analysis["oneOf"] = by_plugin(described, |plugin| {
        let result = reference(&component(plugin, "Output"));
        json!({ "properties": { "plugin": { "const": plugin.name }, "result": result }, "required": ["plugin"] })
    });
    analysis
}

/// One case for each plugin that is described, and one for all others.
fn by_plugin(described: &[Described], case: impl Fn(&Described) -> Value) -> Value {
    let title = |plugin: &Described| {
        let mut case = case(plugin);
        case["title"] = plugin.name.as_str().into();
        case
    };
    let mut cases: Vec<_> = described.iter().map(title).collect();
    let names: Vec<_> = described.iter().map(|plugin| &plugin.name).collect();
    let mut other = json!({ "title": "another plugin, or the default one" });
    if !names.is_empty() {
        other["properties"] = json!({ "plugin": { "not": { "enum": names } } });
    }
    cases.push(other);
    cases.into()
}

fn unmoved(plugin: &Described, of: &str) -> Value {
    let place = format!("/v1/plugins/{}", plugin.name);
    let description =
        format!("The schema of its {of} cannot stand in another document: it is at `{place}`.");
    json!({ "description": description })
}

/// The schema as it can stand under `name`; nothing where that is beyond us.
fn moved(schema: &Value, name: &str) -> Option<Value> {
    let mover = Mover {
        whole: schema,
        place: format!("#/components/schemas/{name}"),
    };
    let mut moved = mover.schema(schema)?;
    if let Value::Object(moved) = &mut moved {
        // The document says its dialect itself, and it is this one.
        let dialect = moved.remove("$schema");
        let is_ours = dialect.is_none_or(|it| it.as_str().is_some_and(|it| it.contains("2020-12")));
        is_ours.then_some(())?;
    }
    Some(moved)
}

struct Mover<'a> {
    whole: &'a Value,
    place: String,
}

impl Mover<'_> {
    fn schema(&self, schema: &Value) -> Option<Value> {
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(_) => return Some(schema.clone()),
            _ => return None,
        };
        let keywords = schema.iter().map(|(keyword, value)| {
            let value = self.keyword(keyword, value)?;
            Some((keyword.clone(), value))
        });
        keywords.collect::<Option<Map<_, _>>>().map(Value::Object)
    }

    fn keyword(&self, keyword: &str, value: &Value) -> Option<Value> {
        match value {
            _ if UNMOVABLE.contains(&keyword) => None,
            Value::String(target) if keyword == "$ref" => self.target(target).map(Value::from),
            Value::Array(schemas) if LIST.contains(&keyword) => {
                let schemas = schemas.iter().map(|it| self.schema(it));
                schemas.collect::<Option<Vec<_>>>().map(Value::from)
            }
            Value::Object(schemas) if MAP.contains(&keyword) => {
                let schemas = schemas.iter().map(|(name, it)| {
                    // Of the older `dependencies`, some are lists of names.
                    let it = if it.is_array() {
                        it.clone()
                    } else {
                        self.schema(it)?
                    };
                    Some((name.clone(), it))
                });
                schemas.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            _ if ONE.contains(&keyword) => self.schema(value),
            _ => Some(value.clone()),
        }
    }

    /// Where a reference leads now, if it leads to a place in the same schema.
    fn target(&self, target: &str) -> Option<String> {
        let pointer = target.strip_prefix('#')?;
        let decoded = percent_decoded(pointer)?;
        let known =
            (decoded.is_empty() || decoded.starts_with('/')) && self.leads_to_schema(&decoded);
        known.then(|| format!("{}{pointer}", self.place))
    }

    /// Only what is a schema by its place was looked through, and may be pointed at.
    fn leads_to_schema(&self, pointer: &str) -> bool {
        let mut steps = pointer.split('/').skip(1);
        let mut at = self.whole;
        while let Some(step) = steps.next() {
            let step = unescaped(step);
            let next = match at.get(&*step) {
                Some(list @ Value::Array(_)) if LIST.contains(&&*step) => steps
                    .next()
                    .and_then(|index| list.get(index.parse::<usize>().ok()?)),
                Some(Value::Object(map)) if MAP.contains(&&*step) => {
                    steps.next().and_then(|name| map.get(&unescaped(name)))
                }
                found if ONE.contains(&&*step) => found,
                _ => None,
            };
            match next {
                Some(next) => at = next,
                None => return false,
            }
        }
        at.is_object() || at.is_boolean()
    }
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%');
        let Some(hex) = hex else {
            bytes.push(byte);
            rest = after;
            continue;
        };
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_where_they_led() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": { "a/b c": { "properties": { "$ref": { "$ref": "#" } } } },
            "properties": { "x": { "$ref": "#/$defs/a~1b%20c" }, "y": { "$ref": "#/properties/x" } },
            "default": { "$ref": "left alone" },
            "enum": [{ "$ref": "#/nowhere" }],
        });
        let there = "#/components/schemas/plugin.p.Output";
        let expected = json!({
            "$defs": { "a/b c": { "properties": { "$ref": { "$ref": there } } } },
            "properties": {
                "x": { "$ref": format!("{there}/$defs/a~1b%20c") },
                "y": { "$ref": format!("{there}/properties/x") },
            },
            "default": { "$ref": "left alone" },
            "enum": [{ "$ref": "#/nowhere" }],
        });
        assert_eq!(moved(&schema, "plugin.p.Output"), Some(expected));
        for plain in [
            json!(true),
            json!({}),
            json!({ "dependencies": { "a": ["b"], "c": {} } }),
        ] {
            assert_eq!(moved(&plain, "p"), Some(plain));
        }
    }

    #[test]
    fn a_schema_that_cannot_be_moved_is_left_out() {
        for schema in [
            json!({ "$ref": "#/$defs/gone" }),
            json!({ "$ref": "#name" }),
            json!({ "$ref": "https://example.com/schema" }),
            json!({ "$ref": "#/x-odd", "x-odd": {} }),
            json!({ "$ref": "#/default", "default": {} }),
            json!({ "$ref": "#/$defs", "$defs": {} }),
            json!({ "$ref": "#/%zz" }),
            json!({ "$id": "https://example.com/schema" }),
            json!({ "$anchor": "name" }),
            json!({ "items": { "not": { "$dynamicRef": "#name" } } }),
            json!({ "$schema": "http://json-schema.org/draft-07/schema#" }),
            json!({ "properties": { "x": 3 } }),
            json!(3),
        ] {
            assert_eq!(moved(&schema, "p"), None, "{schema}");
        }
        let strange = Described {
            name: "odd".to_owned(),
            options: json!({ "$id": "x" }),
            output: json!(true),
        };
        let components = components(&[strange]);
        let told = components["plugin.odd.Options"]["description"].as_str();
        assert!(
            told.is_some_and(|it| it.ends_with("it is at `/v1/plugins/odd`.")),
            "{told:?}"
        );
    }
}
