//! Holds what goes into a call and what comes out to the plugin's schemas, as the host does.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{Failure, Kind};
use crate::{Plugin, manifest};

/// A plugin's schemas, compiled.
struct Schemas {
    options: Validator,
    output: Validator,
}

// Compiled once, not for each of the thousand calls of a test with junk.
static COMPILED: LazyLock<Mutex<HashMap<TypeId, Arc<Schemas>>>> = LazyLock::new(Mutex::default);

/// Refuses options that break their schema.
pub(super) fn check_options<P: Plugin>(options: &Value) -> Result<(), Failure> {
    check(&schemas::<P>().options, Kind::InvalidOptions, options)
}

/// Refuses output that breaks its schema.
pub(super) fn check_output<P: Plugin>(output: &Value) -> Result<(), Failure> {
    check(&schemas::<P>().output, Kind::InvalidOutput, output)
}

fn schemas<P: Plugin>() -> Arc<Schemas> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let schemas = compiled
        .entry(TypeId::of::<P>())
        .or_insert_with(|| Arc::new(compile::<P>()));
    Arc::clone(schemas)
}

fn compile<P: Plugin>() -> Schemas {
    Schemas {
        options: validator("options", &manifest::options_schema::<P>()),
        output: validator("output", &manifest::output_schema::<P>()),
    }
}

fn validator(subject: &str, schema: &Value) -> Validator {
    jsonschema::validator_for(schema).unwrap_or_else(|error| {
        panic!("no host takes the plugin: the schema of the {subject} is no JSON Schema: {error}")
    })
}

fn check(schema: &Validator, kind: Kind, value: &Value) -> Result<(), Failure> {
    let violations = schema.iter_errors(value).map(|error| {
        let (path, reason) = (error.instance_path().to_string(), error.to_string());
        json!({ "path": path, "reason": reason })
    });
    let violations: Vec<_> = violations.collect();
    let Some(first) = violations.first() else {
        return Ok(());
    };
    let text = |key: &str| first[key].as_str().unwrap_or_default();
    let message = format!("`{}`: {}", text("path"), text("reason"));
    Err(Failure {
        details: json!({ "violations": violations }),
        ..Failure::new(kind, message)
    })
}
