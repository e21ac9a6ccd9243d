//! The daemon's own document, and answers held against it: status, headers, content type and body.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use ureq::Body;
use ureq::http::{Request, Response};

use crate::daemon::{Answer, Daemon};
use crate::events::{self, Event};

/// The document of a daemon, which notes what it was held against.
pub struct Contract {
    document: Value,
    seen: Mutex<BTreeSet<String>>,
}

impl Contract {
    /// The document as the daemon gives it now.
    pub fn of(daemon: &Daemon) -> Self {
        let answer = daemon.get("/openapi.json");
        assert_eq!(answer.status, 200, "{}", answer.body);
        Self {
            document: answer.body,
            seen: Mutex::default(),
        }
    }

    /// The whole of it.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// A schema of its components.
    pub fn schema(&self, name: &str) -> &Value {
        &self.document["components"]["schemas"][name]
    }

    /// Holds an answer of `verb path`, with its braces, against the document.
    pub fn check(&self, route: &str, answer: &Answer) {
        let (verb, path) = route.split_once(' ').expect("VERB PATH");
        let status = answer.status.to_string();
        let here = format!("{route} {status}");
        let operation = &self.document["paths"][path][verb.to_ascii_lowercase()];
        let documented = &operation["responses"][&status];
        assert!(documented.is_object(), "{here}: {}", answer.body);
        self.check_headers(&here, documented, answer);
        self.check_body(&here, documented, answer);
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(here);
    }

    /// What was seen so far: `VERB PATH STATUS`.
    pub fn seen(&self) -> BTreeSet<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Holds a value against a schema of the components.
    pub fn check_schema(&self, name: &str, value: &Value) {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        self.validate(name, &schema, value);
    }

    fn check_headers(&self, here: &str, documented: &Value, answer: &Answer) {
        let headers = documented["headers"]
            .as_object()
            .expect("every answer has some");
        for (name, header) in headers {
            let header = self
                .document
                .pointer(&header["$ref"].as_str().unwrap()[1..])
                .unwrap();
            let Some(found) = answer.header(&name.to_ascii_lowercase()) else {
                assert_ne!(header["required"], true, "{here}: no {name}");
                continue;
            };
            let is_number = header["schema"]["type"] == "integer";
            let value = if is_number {
                serde_json::from_str(found).unwrap()
            } else {
                json!(found)
            };
            self.validate(&format!("{here}: {name}"), &header["schema"], &value);
        }
        for name in ["retry-after", "x-job-id", "location"] {
            let is_documented = headers.keys().any(|it| it.eq_ignore_ascii_case(name));
            assert!(
                is_documented || answer.header(name).is_none(),
                "{here}: {name}"
            );
        }
    }

    fn check_body(&self, here: &str, documented: &Value, answer: &Answer) {
        let Some(content) = documented.get("content") else {
            assert_eq!(answer.header("content-type"), None, "{here}");
            return;
        };
        let kind = answer.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        let media = content.get(kind).or_else(|| content.get("*/*"));
        let media = media.unwrap_or_else(|| panic!("{here}: {kind} is not documented"));
        if kind == "application/json" {
            self.validate(here, &media["schema"], &answer.body);
        }
    }

    fn validate(&self, here: &str, schema: &Value, value: &Value) {
        let mut whole = schema.clone();
        whole["components"] = self.document["components"].clone();
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&whole)
            .unwrap();
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|it| format!("{}: {it}", it.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{here}: {value}\n{}", errors.join("\n"));
    }
}

impl Daemon {
    /// All that has happened to a job that has ended.
    pub fn course(&self, job: &str) -> Vec<Event> {
        let path = self.url(&format!("/v1/jobs/{job}/events"));
        let mut answer = self.agent().get(path).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        text.split("\n\n").filter_map(events::parse).collect()
    }

    /// An answer without its body, which may have no end.
    pub fn head(&self, path: &str) -> Answer {
        let answer = self.agent().get(self.url(path)).call().unwrap();
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Answer {
            status: answer.status().as_u16(),
            body: Value::Null,
            headers: headers.collect(),
        }
    }

    /// Sends any request at all.
    pub fn send(&self, verb: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(verb).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response: Result<Response<Body>, _> = self.agent().run(request.body(body).unwrap());
        Answer::of(response)
    }
}
