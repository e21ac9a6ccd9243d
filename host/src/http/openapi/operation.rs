//! What the document says of one route under one verb. Every failure is put in by its code, so that status, envelope
//! and headers follow from the closed list.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::status;
use crate::error::Code;

/// What can happen to every request.
const ANYWHERE: [Code; 4] = [
    Code::Unauthorized,
    Code::Forbidden,
    Code::RateLimited,
    Code::Internal,
];

/// One route under one verb.
pub(super) struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    codes: Vec<Code>,
    names_its_job: bool,
    is_open: bool,
}

impl Operation {
    pub(super) fn new(tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            description: String::new(),
            parameters: Vec::new(),
            body: None,
            answers: Map::new(),
            codes: ANYWHERE.to_vec(),
            names_its_job: false,
            is_open: false,
        }
    }

    /// What there is to say beyond the summary.
    pub(super) fn says(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    pub(super) fn takes(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// A body that must be there, by content type.
    pub(super) fn body(mut self, description: &str, content: Value) -> Self {
        self.body =
            Some(json!({ "description": description, "required": true, "content": content }));
        self
    }

    /// An answer with a body, by content type; without one where that is null.
    pub(super) fn answers(self, status: u16, description: &str, content: Value) -> Self {
        self.answers_with(status, description, content, &[])
    }

    /// The same, with these headers of `components` besides.
    pub(super) fn answers_with(
        mut self,
        status: u16,
        description: &str,
        content: Value,
        headers: &[&str],
    ) -> Self {
        let answer = response(description.to_owned(), content, headers);
        self.answers.insert(status.to_string(), answer);
        self
    }

    pub(super) fn fails(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// Its errors, too, say in a header which job they are of.
    pub(super) fn names_its_job(mut self) -> Self {
        self.names_its_job = true;
        self
    }

    /// It needs no token, ever.
    pub(super) fn open_to_all(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// As the document has it.
    pub(super) fn into_value(mut self) -> Value {
        for (status, codes) in by_status(&self.codes) {
            let (status, failure) = (status.to_string(), self.failure(status, &codes));
            // A document that is no envelope, under the same status: then it is one or the other.
            match self.answers.get_mut(&status) {
                None => {
                    self.answers.insert(status, failure);
                }
                Some(answer) => widen(answer, failure),
            }
        }
        let mut told = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "responses": self.answers,
        });
        if !self.description.is_empty() {
            told["description"] = self.description.into();
        }
        if !self.parameters.is_empty() {
            told["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            told["requestBody"] = body;
        }
        if self.is_open {
            told["security"] = json!([]);
        }
        told
    }

    fn failure(&self, status: u16, codes: &[&'static str]) -> Value {
        let code = json!({ "type": "string", "enum": codes });
        let details = json!({ "properties": { "code": code } });
        let error = json!({ "properties": { "details": details } });
        let narrowed = json!({ "properties": { "error": error } });
        let schema = json!({ "allOf": [reference("Error"), narrowed] });
        let content = json!({ "application/json": { "schema": schema } });
        let words: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
        let description = format!("An error: {}.", words.join(", "));
        let mut headers = Vec::new();
        if matches!(status, 429 | 500 | 503) {
            headers.push("Retry-After");
        }
        if self.names_its_job {
            headers.push("X-Job-Id");
        }
        response(description, content, &headers)
    }
}

/// The schema of that name in `components`.
pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// JSON of that schema.
pub(super) fn json_of(schema: &str) -> Value {
    json!({ "application/json": { "schema": reference(schema) } })
}

fn response(description: String, content: Value, headers: &[&str]) -> Value {
    let named = |name: &&str| {
        let header = json!({ "$ref": format!("#/components/headers/{name}") });
        ((*name).to_owned(), header)
    };
    let headers: Map<_, _> = [&"X-Request-Id"]
        .into_iter()
        .chain(headers)
        .map(named)
        .collect();
    let mut response = json!({ "description": description, "headers": headers });
    if !content.is_null() {
        response["content"] = content;
    }
    response
}

fn widen(answer: &mut Value, failure: Value) {
    let either = "application/json";
    let schemas = [
        answer["content"][either]["schema"].take(),
        failure["content"][either]["schema"].clone(),
    ];
    answer["content"][either] = json!({ "schema": { "anyOf": schemas } });
    let (said, error) = (&answer["description"], &failure["description"]);
    let both = format!(
        "{} {}",
        said.as_str().unwrap_or_default(),
        error.as_str().unwrap_or_default()
    );
    answer["description"] = both.into();
}

fn by_status(codes: &[Code]) -> BTreeMap<u16, Vec<&'static str>> {
    let mut statuses: BTreeMap<u16, Vec<_>> = BTreeMap::new();
    for code in codes {
        let words = statuses.entry(status::of(*code).as_u16()).or_default();
        if !words.contains(&code.as_str()) {
            words.push(code.as_str());
        }
    }
    statuses
}
