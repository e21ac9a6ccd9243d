//! Any schema that a plugin may declare, a NUL, and any answer or options: compiled or told, checked
//! or told, within bounds.

#![no_main]

use bulkhead::call::RawOutput;
use bulkhead::error::CallError;
use bulkhead::validation::{OptionsSchema, OutputRules, SchemaCheck};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

const MAX_OUTPUT: usize = 2 << 10;

fuzz_target!(|bytes: &[u8]| {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let schema = halves.next().unwrap_or_default();
    let answer = halves.next().unwrap_or_default();
    let any = Value::Bool(true);
    let is_fine = output(&any, SchemaCheck::Never, answer).is_some_and(|it| it.is_ok());
    let Ok(schema) = serde_json::from_slice::<Value>(schema) else {
        return;
    };
    for check in [SchemaCheck::Always, SchemaCheck::Typed] {
        if let Some(Ok(())) = output(&schema, check, answer) {
            assert!(is_fine, "a schema lets nothing pass that is no object");
        }
    }
    options(&schema, answer);
});

fn output(schema: &Value, check: SchemaCheck, answer: &[u8]) -> Option<Result<(), CallError>> {
    let rules = OutputRules::compile(MAX_OUTPUT, schema, check).ok()?;
    let raw = RawOutput {
        json: Bytes::copy_from_slice(answer),
        attachments: Vec::new(),
    };
    Some(rules.check(raw).map(|output| {
        assert!(answer.len() <= MAX_OUTPUT);
        assert_eq!(output.json(), answer);
        let value: Value = serde_json::from_slice(answer).unwrap();
        assert!(value.is_object());
    }))
}

fn options(schema: &Value, options: &[u8]) {
    let Ok(schema) = OptionsSchema::compile(schema) else {
        return;
    };
    let _ = schema.check(None);
    let Ok(options) = serde_json::from_slice::<&RawValue>(options) else {
        return;
    };
    let verdict = schema.check(Some(options)).is_ok();
    assert_eq!(
        verdict,
        schema.check(Some(options)).is_ok(),
        "the second time"
    );
}
