//! The document: it has the routes that there are, and it is sound, whatever plugins declare.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::to_bytes;

use super::*;

/// Verbs as the document has them.
const VERBS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

async fn document(app: Guarded) -> Value {
    let seen = ask(app, get("/openapi.json")).await;
    assert_eq!(seen.status, StatusCode::OK);
    seen.body
}

/// Path, verb, operation.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, verbs)| {
        let verbs = verbs.as_object().unwrap().iter();
        verbs.map(|(verb, operation)| (path.clone(), verb.clone(), operation))
    });
    all.collect()
}

fn verbs_by_path(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, verb, _) in operations(document) {
        paths.entry(path).or_default().insert(verb);
    }
    paths
}

/// The router as it is written.
fn written() -> BTreeMap<String, BTreeSet<String>> {
    let source = include_str!("../mod.rs");
    let code: String = source.split_whitespace().collect();
    for other in [".nest(", ".merge(", "route_service(", "MethodRouter"] {
        assert!(
            !code.contains(other),
            "{other}: say here how its routes are found"
        );
    }
    let routes = code.split(".route(").skip(1).map(|rest| {
        let (path, rest) = rest.trim_start_matches('"').split_once("\",").unwrap();
        let end = rest.find("))").unwrap();
        let calls = &rest[..=end];
        let has = |verb: &&str| {
            calls.starts_with(&format!("{verb}(")) || calls.contains(&format!(".{verb}("))
        };
        let verbs = VERBS.iter().filter(|verb| has(verb));
        (path.to_owned(), verbs.map(|it| (*it).to_owned()).collect())
    });
    routes.collect()
}

#[tokio::test]
async fn every_route_is_documented_and_nothing_else_is() {
    let document = document(app()).await;
    assert_eq!(verbs_by_path(&document), written());
}

#[tokio::test]
async fn every_route_takes_the_verbs_that_are_documented() {
    let document = document(app()).await;
    for (path, verbs) in verbs_by_path(&document) {
        let asked = path.replace(['{', '}'], "");
        let request = Request::builder().method("TRACE").uri(&asked);
        let seen = ask(app(), request.body(Body::empty()).unwrap()).await;
        assert_eq!(seen.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = seen.headers["allow"].to_str().unwrap().to_ascii_lowercase();
        let allowed: BTreeSet<_> = allowed.split(',').map(str::to_owned).collect();
        // Every GET may be asked for its head.
        let head = verbs.contains("get").then(|| "head".to_owned());
        assert_eq!(allowed, verbs.into_iter().chain(head).collect(), "{path}");
    }
}

#[tokio::test]
async fn the_document_is_sound() {
    check_sound(&document(app()).await);
}

#[tokio::test]
async fn a_strange_schema_leaves_the_document_sound() {
    let app = router(services_of(&[], strange()), limits());
    for name in ["recursive", "anywhere", "elsewhere", "old", "echo"] {
        let seen = ask(app.clone(), get(&format!("/v1/plugins/{name}"))).await;
        assert_eq!(seen.body["lifecycle"], "READY", "{}", seen.body);
    }
    let document = document(app).await;
    check_sound(&document);
    let schemas = &document["components"]["schemas"];
    let there = "#/components/schemas/plugin.recursive.Options";
    assert_eq!(
        schemas["plugin.recursive.Options"]["$defs"]["node"]["properties"]["next"]["$ref"],
        format!("{there}/$defs/node")
    );
    assert_eq!(schemas["plugin.anywhere.Options"], true);
    for name in ["elsewhere", "old"] {
        let told = &schemas[format!("plugin.{name}.Options")]["description"];
        assert!(told.as_str().unwrap().contains("cannot stand"), "{told}");
    }
    let names: Vec<_> = schemas["Analysis"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "anywhere",
            "echo",
            "elsewhere",
            "old",
            "recursive",
            "another plugin, or the default one"
        ]
    );
}

#[tokio::test]
async fn the_document_tells_of_a_plugin_once_it_is_open() {
    let app = app();
    let before = document(app.clone()).await;
    assert_eq!(
        before["components"]["schemas"]["plugin.echo.Options"],
        Value::Null
    );
    ask(app.clone(), get("/v1/plugins/echo")).await;
    let schemas = document(app).await["components"]["schemas"].take();
    assert_eq!(schemas["plugin.echo.Options"], json!({ "type": "object" }));
    assert_eq!(schemas["plugin.copies.Options"], Value::Null);
}

/// Plugins whose schemas are valid, and no usual ones.
fn strange() -> Vec<Arc<Plugin>> {
    let schemas = [
        (
            "recursive",
            json!({ "$defs": { "node": { "properties": { "next": { "$ref": "#/$defs/node" } } } }, "$ref": "#/$defs/node" }),
        ),
        ("anywhere", json!(true)),
        (
            "elsewhere",
            json!({ "$id": "https://example.com/a", "$anchor": "top", "items": { "$ref": "#top" } }),
        ),
        (
            "old",
            json!({ "$schema": "http://json-schema.org/draft-07/schema#", "type": "object" }),
        ),
    ];
    let described = schemas.map(|(name, schema)| {
        let open = move || {
            let mut serving = serving(Arc::new(Double(echo)));
            serving.options = OptionsSchema::compile(&schema).unwrap();
            serving.options_schema = schema.clone();
            std::future::ready(Ok(serving)).boxed()
        };
        plugin_opened(name, Box::new(open))
    });
    described
        .into_iter()
        .chain([plugin("echo", echo)])
        .collect()
}

fn check_sound(document: &Value) {
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, verb, operation) in operations(document) {
        let here = format!("{verb} {path}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{here}: a second {id}");
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|it| !it.is_empty()),
            "{here}"
        );
        let tag = &operation["tags"][0];
        assert!(
            document["tags"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it["name"] == *tag),
            "{here}: {tag}"
        );
        check_parameters(&path, operation);
        let answers = operation["responses"].as_object().unwrap();
        assert!(
            answers.keys().any(|status| status.starts_with('2')),
            "{here}"
        );
        for (status, answer) in answers {
            assert!(
                answer["description"]
                    .as_str()
                    .is_some_and(|it| !it.is_empty()),
                "{here} {status}"
            );
            assert!(
                answer["headers"]["X-Request-Id"].is_object(),
                "{here} {status}"
            );
        }
    }
    check_references(document, document);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        assert!(jsonschema::meta::is_valid(schema), "{name}: {schema}");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
            "{name}"
        );
    }
}

fn check_parameters(path: &str, operation: &Value) {
    let none = Vec::new();
    let parameters = operation["parameters"].as_array().unwrap_or(&none);
    let mut seen = BTreeSet::new();
    for parameter in parameters {
        let (name, place) = (
            parameter["name"].as_str().unwrap(),
            parameter["in"].as_str().unwrap(),
        );
        assert!(seen.insert((place, name)), "{path}: a second {name}");
        assert!(
            jsonschema::meta::is_valid(&parameter["schema"]),
            "{path}: {name}"
        );
        assert!(parameter["description"].is_string(), "{path}: {name}");
    }
    let named = seen
        .iter()
        .filter(|(place, _)| *place == "path")
        .map(|(_, name)| format!("{{{name}}}"));
    let named: BTreeSet<_> = named.collect();
    let wanted = path.split('/').filter(|step| step.starts_with('{'));
    assert_eq!(named, wanted.map(str::to_owned).collect(), "{path}");
}

/// Every reference leads to something.
fn check_references(at: &Value, document: &Value) {
    match at {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                let target = target
                    .strip_prefix('#')
                    .expect("it leads to a place in the document");
                assert!(document.pointer(target).is_some(), "{target}");
            }
            fields
                .values()
                .for_each(|it| check_references(it, document));
        }
        Value::Array(items) => items.iter().for_each(|it| check_references(it, document)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_has_all_that_it_needs_and_nothing_from_elsewhere() {
    let page = text(
        app().oneshot(get("/docs")).await.unwrap(),
        "text/html; charset=utf-8",
    )
    .await;
    assert!(!page.contains("//"), "{page}");
    for name in super::super::docs::FILES {
        assert!(page.contains(&format!("\"docs/{name}\"")), "{name}");
        let kind = match name.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript",
            "css" => "text/css",
            _ => "image/png",
        };
        let file = text(
            app().oneshot(get(&format!("/docs/{name}"))).await.unwrap(),
            kind,
        )
        .await;
        assert!(!file.is_empty(), "{name}");
    }
    // Not all that lies in the library is ours to give out.
    check(
        get("/docs/index.html"),
        "404 not_found: no route `/docs/index.html`",
    )
    .await;
}

#[tokio::test]
async fn the_page_runs_no_script_but_files_of_ours() {
    let answer = app().oneshot(get("/docs")).await.unwrap();
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'self'; "), "{policy}");
    assert!(!policy.contains("script-src"), "{policy}");
    let page = text(answer, "text/html; charset=utf-8").await;
    for script in page.split("<script").skip(1) {
        assert!(script.starts_with(" src=\"docs/"), "{script}");
    }
}

async fn text(answer: Response, kind: &str) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], kind);
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    String::from_utf8_lossy(&body).into_owned()
}

#[test]
fn the_reference_has_every_code_under_its_status() {
    let page = include_str!("../../../../docs/http.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("| `")?
            .split('|')
            .map(str::trim)
            .collect();
        let [code, error_type, status, ..] = cells[..] else {
            return None;
        };
        let status: u16 = status.parse().ok()?;
        Some((
            code.trim_matches('`').to_owned(),
            error_type.to_owned(),
            status,
        ))
    });
    let codes = crate::error::Code::ALL.iter().map(|code| {
        let (word, error_type) = code.words();
        let status = super::super::status::of(*code).as_u16();
        (word.to_owned(), error_type.as_str().to_owned(), status)
    });
    assert_eq!(rows.collect::<Vec<_>>(), codes.collect::<Vec<_>>());
}

#[test]
fn the_reference_has_every_route() {
    let page = include_str!("../../../../docs/http.md");
    for (path, verbs) in written() {
        for verb in verbs {
            let route = format!("`{} {path}`", verb.to_ascii_uppercase());
            assert!(page.contains(&route), "{route}");
        }
    }
}
