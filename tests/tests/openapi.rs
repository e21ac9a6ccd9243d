//! What the daemon says of itself, held against what it does: real answers of every route, by the schemas of its own
//! document.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeSet;

use bulkhead_tests::contract::Contract;
use bulkhead_tests::daemon::{Answer, Daemon, IMAGE, way};
use bulkhead_tests::events::Event;
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::reload::Scene;
use bulkhead_tests::{submit, wait};
use serde_json::{Value, json};

const CONFIG: &str = "[server]\nmax_body = \"64KiB\"\n\
    [plugins]\npreload = 0\nsettle = \"20ms\"\n\
    [plugin.misbehaves]\nconcurrency = 1\nqueue = 1\n\
    [plugin.faults]\nconcurrency = 1\n";
const NO_JOB: &str = "01900000-0000-7000-8000-000000000000";

/// What is documented and cannot be had here: tokens, too slow a body, a full disk, a job past its retention, faults of the
/// host's own. Other tests bring them about.
const ELSEWHERE: [&str; 7] = ["401", "429", "408", "410", "499", "500", "507"];
/// The same, of one route.
const RARE: [&str; 6] = [
    // Its disk would have to be full, or its budget of bytes.
    "POST /v1/jobs 429",
    "POST /v1/jobs/batch 429",
    // Files under a name of their own are refused by it.
    "POST /v1/plugins/{name}/enable 503",
    "POST /v1/plugins/{name}/disable 503",
    "GET /v1/plugins/{name} 503",
    "GET /readyz 503",
];

#[test]
fn every_route_answers_as_it_is_documented() {
    let scene = Scene::with(|folder| {
        let names = ["tiny", "misbehaves", "faults", "steps"];
        let fixtures = names.map(|name| fixture(&format!("fixture-{name}")));
        fixtures
            .iter()
            .fold(folder.clone(), |folder, it| folder.with(it));
        folder.put("libbroken.so", b"no library");
        Daemon::start(folder, CONFIG)
    });
    scene.put(2, "fine");
    scene.wait_for_build(2);
    let daemon = &scene.daemon;
    // Their schemas are in the document once they are open.
    for plugin in ["tiny", "misbehaves", "faults", "steps"] {
        daemon.plugin(plugin);
    }
    let contract = Contract::of(daemon);
    let checks = Checks {
        daemon,
        contract: &contract,
    };
    checks.foreign_pages_are_refused();
    checks.analyses();
    checks.calls_that_go_wrong();
    checks.bodies_that_are_none();
    checks.jobs();
    checks.batches();
    checks.lists();
    checks.plugins();
    checks.documents();
    let unseen: BTreeSet<_> = documented(&contract)
        .difference(&contract.seen())
        .cloned()
        .collect();
    let is_elsewhere =
        |it: &String| ELSEWHERE.iter().any(|status| it.ends_with(status)) || RARE.contains(&&**it);
    let unseen: Vec<_> = unseen.into_iter().filter(|it| !is_elsewhere(it)).collect();
    assert!(unseen.is_empty(), "never seen:\n{}", unseen.join("\n"));
}

/// Every `VERB PATH STATUS` of the document.
fn documented(contract: &Contract) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (path, verbs) in contract.document()["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            let verb = verb.to_ascii_uppercase();
            let statuses = operation["responses"].as_object().unwrap().keys();
            all.extend(statuses.map(|status| format!("{verb} {path} {status}")));
        }
    }
    all
}

struct Checks<'a> {
    daemon: &'a Daemon,
    contract: &'a Contract,
}

impl Checks<'_> {
    /// Asks, and holds what comes back against the document and against `expected`: a status, or a status and a code.
    fn check(
        &self,
        route: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        expected: &str,
    ) -> Answer {
        let verb = route.split(' ').next().unwrap();
        let answer = self.daemon.send(verb, path, headers, body);
        self.contract.check(route, &answer);
        // A job that has failed has an error of its own.
        let is_error = answer.status >= 400;
        let code = is_error
            .then(|| answer.details()["code"].as_str())
            .flatten();
        let found = code.map_or(answer.status.to_string(), |code| {
            format!("{} {code}", answer.status)
        });
        assert_eq!(found, expected, "{route} {path}: {}", answer.body);
        answer
    }

    /// The same without a body.
    fn ask(&self, route: &str, path: &str, expected: &str) -> Answer {
        self.check(route, path, &[], b"", expected)
    }

    /// Some image for a plugin, sent as it is.
    fn raw(&self, route: &str, plugin: &str, options: &Value, expected: &str) -> Answer {
        let options = encoded(&options.to_string());
        let (_, path) = route.split_once(' ').unwrap();
        let path = format!("{path}?plugin={plugin}&options={options}");
        self.check(
            route,
            &path,
            &[("content-type", "image/x-any")],
            IMAGE,
            expected,
        )
    }

    fn analyze(&self, plugin: &str, options: &Value, expected: &str) -> Answer {
        self.raw("POST /v1/analyze", plugin, options, expected)
    }

    fn json(&self, route: &str, body: &Value, expected: &str) -> Answer {
        let (_, path) = route.split_once(' ').unwrap();
        let kind = [("content-type", "application/json")];
        self.check(route, path, &kind, body.to_string().as_bytes(), expected)
    }

    fn foreign_pages_are_refused(&self) {
        for (path, verbs) in self.contract.document()["paths"].as_object().unwrap() {
            for verb in verbs.as_object().unwrap().keys() {
                let route = format!("{} {path}", verb.to_ascii_uppercase());
                let foreign = [("origin", "https://elsewhere.example")];
                let asked = path.replace("{id}", NO_JOB).replace(['{', '}'], "");
                self.check(&route, &asked, &foreign, b"", "403 forbidden");
            }
        }
    }

    fn analyses(&self) {
        let answer = self.analyze("tiny", &json!({ "at": 2 }), "200");
        assert_eq!(answer.body["plugin"], "tiny");
        let attached = self.analyze("misbehaves", &json!({ "way": "attach", "size": 5 }), "200");
        assert_eq!(attached.body["attachments"][0]["name"], "a.bin");
        let body = json!({ "plugin": "tiny", "image": "R0lGODlhAQABAAAAADs=", "mime_type": "image/gif", "options": null });
        self.contract.check_schema("AnalyzeRequest", &body);
        self.json("POST /v1/analyze", &body, "200");
        let form = form(&[("plugin", "tiny"), ("options", "{}")], 1);
        self.check("POST /v1/analyze", "/v1/analyze", &[FORM], &form, "200");
    }

    fn calls_that_go_wrong(&self) {
        self.analyze("misbehaves", &way("fail"), "500 failed");
        self.analyze("misbehaves", &way("panic"), "500 panic");
        self.analyze("misbehaves", &way("not-a-number"), "502 invalid_output");
        self.analyze("misbehaves", &way("refuse-input"), "422 invalid_input");
        let wrong = json!({ "way": "none" });
        self.analyze("misbehaves", &wrong, "422 invalid_options");
        let options = encoded(&way("wait-for-cancel").to_string());
        let path = format!("/v1/analyze?plugin=misbehaves&options={options}");
        let headers = [("content-type", "image/x-any"), ("x-deadline-ms", "50")];
        self.check("POST /v1/analyze", &path, &headers, IMAGE, "504 timeout");
        self.overloads();
        self.analyze("faults", &way("abort"), "502 crash");
        self.analyze("none", &json!({}), "404 plugin_not_found");
        self.ask(
            "POST /v1/plugins/{name}/disable",
            "/v1/plugins/tiny/disable",
            "200",
        );
        self.analyze("tiny", &json!({}), "503 plugin_unavailable");
        self.raw("POST /v1/jobs", "tiny", &json!({}), "202");
        self.ask(
            "POST /v1/plugins/{name}/enable",
            "/v1/plugins/tiny/enable",
            "200",
        );
    }

    /// One call runs, one waits, and the third is refused.
    fn overloads(&self) {
        let held: Vec<_> = (0..2)
            .map(|_| self.daemon.begin("misbehaves", "wait-for-cancel"))
            .collect();
        self.daemon.wait_for("misbehaves", "queued", 1);
        self.analyze("misbehaves", &way("fine"), "429 overloaded");
        drop(held);
        self.daemon.wait_for("misbehaves", "in_flight", 0);
    }

    fn bodies_that_are_none(&self) {
        for route in ["POST /v1/analyze", "POST /v1/jobs"] {
            let (_, path) = route.split_once(' ').unwrap();
            let send = |headers: &[(&str, &str)], body: &[u8], expected: &str| {
                self.check(route, path, headers, body, expected);
            };
            self.json(route, &json!({}), "400 empty_image");
            self.json(route, &json!({ "image": "R0lG" }), "400 missing_mime_type");
            self.json(route, &json!({ "imge": 3 }), "400 malformed_request");
            send(
                &[("content-type", "text/plain")],
                b"text",
                "415 unsupported_media_type",
            );
            let picture = [("content-type", "image/x-any")];
            send(&picture, &vec![1; 65 << 10], "413 payload_too_large");
            let document = [("content-type", "application/pdf")];
            let path = format!("{path}?plugin=tiny");
            self.check(route, &path, &document, IMAGE, "415 unsupported_mime_type");
            let png = [("content-type", "image/png")];
            self.check(
                route,
                &path,
                &png,
                b"GIF89a\x01\0\x01\0\0\0\0;",
                "422 image_mismatch",
            );
            self.raw(route, "none", &json!({}), "404 plugin_not_found");
        }
        self.ask(
            "POST /v1/plugins/{name}/disable",
            "/v1/plugins/broken/disable",
            "503 plugin_unavailable",
        );
        self.raw(
            "POST /v1/jobs",
            "broken",
            &json!({}),
            "503 plugin_unavailable",
        );
    }

    fn jobs(&self) {
        let route = "POST /v1/jobs";
        let done = json!({ "mark": "a", "steps": 2, "attach": [{ "name": "a b", "mime_type": "text/plain", "bytes": 9 }] });
        let path = format!(
            "/v1/jobs?plugin=steps&options={}",
            encoded(&done.to_string())
        );
        let headers = [("content-type", "image/x-any"), ("idempotency-key", "one")];
        let job = self.check(route, &path, &headers, IMAGE, "202");
        let id = job.body["id"].as_str().unwrap().to_owned();
        self.check(route, &path, &headers, IMAGE, "200");
        let one = "GET /v1/jobs/{id}";
        let ended = self.ask(one, &format!("/v1/jobs/{id}?wait=30"), "200");
        assert_eq!(ended.body["status"], "SUCCESS", "{}", ended.body);
        let url = ended.body["attachments"][0]["url"].as_str().unwrap();
        self.ask("GET /v1/jobs/{id}/attachments/{name}", url, "200");
        self.ask(
            "GET /v1/jobs/{id}/result",
            &format!("/v1/jobs/{id}/result"),
            "200",
        );
        self.course(&id);
        self.ask(
            "POST /v1/jobs/{id}/retry",
            &format!("/v1/jobs/{id}/retry"),
            "422 invalid_input",
        );
        self.jobs_that_fail();
        self.jobs_that_are_none();
        let large = self.raw(route, "steps", &json!({ "bytes": 70_000 }), "202");
        let large = self.ask(
            one,
            &format!("/v1/jobs/{}?wait=30", submit::id(&large)),
            "200",
        );
        assert!(large.body["result_url"].is_string(), "{}", large.body);
        let wishes = json!({ "plugin": "steps", "image": "R0lG", "mime_type": "image/x-any", "options": {},
            "priority": "low", "not_before": "2090-12-31T08:00:00Z", "max_attempts": 3 });
        self.contract.check_schema("JobRequest", &wishes);
        self.json(route, &wishes, "202");
    }

    fn course(&self, id: &str) {
        let route = "GET /v1/jobs/{id}/events";
        let path = format!("/v1/jobs/{id}/events");
        self.ask(route, &path, "200");
        let kinds = self.contract.schema("JobEventKind");
        let told = self.daemon.course(id);
        assert!(told.len() > 3, "{told:?}");
        let last = [("last-event-id", told[told.len() - 1].id.as_str())];
        self.check(route, &path, &last, b"", "204");
        for Event { kind, data, .. } in told {
            assert!(
                kinds["enum"].as_array().unwrap().contains(&json!(kind)),
                "{kind}"
            );
            self.contract.check_schema("JobEvent", &data);
        }
    }

    fn jobs_that_fail(&self) {
        let job = self.raw("POST /v1/jobs", "misbehaves", &way("fail"), "202");
        let path = format!("/v1/jobs/{}", submit::id(&job));
        let failed = self.ask("GET /v1/jobs/{id}", &format!("{path}?wait=30"), "200");
        assert_eq!(submit::brief(&failed.body), "FAILED failed");
        self.ask(
            "GET /v1/jobs/{id}/result",
            &format!("{path}/result"),
            "404 not_found",
        );
        self.ask("POST /v1/jobs/{id}/retry", &format!("{path}/retry"), "202");
        self.ask("DELETE /v1/jobs/{id}", &path, "200");
    }

    fn jobs_that_are_none(&self) {
        let routes = [
            ("GET /v1/jobs/{id}", ""),
            ("DELETE /v1/jobs/{id}", ""),
            ("POST /v1/jobs/{id}/retry", "/retry"),
            ("GET /v1/jobs/{id}/events", "/events"),
            ("GET /v1/jobs/{id}/result", "/result"),
            ("GET /v1/jobs/{id}/attachments/{name}", "/attachments/a"),
        ];
        for (route, rest) in routes {
            self.ask(route, &format!("/v1/jobs/{NO_JOB}{rest}"), "404 not_found");
            self.ask(
                route,
                &format!("/v1/jobs/%ff{rest}"),
                "400 malformed_request",
            );
        }
        self.ask(
            "GET /v1/jobs/{id}",
            &format!("/v1/jobs/{NO_JOB}?wait=61"),
            "400 malformed_request",
        );
    }

    fn batches(&self) {
        let route = "POST /v1/jobs/batch";
        let path = "/v1/jobs/batch";
        let headers = [FORM, ("idempotency-key", "two")];
        let few = form(&[("plugin", "tiny")], 2);
        self.check(route, path, &headers, &few, "202");
        self.check(route, path, &headers, &few, "200");
        self.check(
            route,
            path,
            &[FORM],
            &form(&[("plugin", "tiny")], 0),
            "400 malformed_request",
        );
        self.check(
            route,
            path,
            &[FORM],
            &form(&[("plugin", "none")], 1),
            "404 plugin_not_found",
        );
        self.check(
            route,
            path,
            &[FORM],
            &form(&[("plugin", "broken")], 1),
            "503 plugin_unavailable",
        );
        let wrong = form(&[("plugin", "tiny"), ("mime_type", "image/png")], 1);
        self.check(route, path, &[FORM], &wrong, "422 image_mismatch");
        let large = form(&[("plugin", &"x".repeat(65 << 10))], 1);
        self.check(route, path, &[FORM], &large, "413 payload_too_large");
        self.json(route, &json!({}), "415 unsupported_media_type");
    }

    fn lists(&self) {
        let list = "GET /v1/jobs";
        let page = self.ask(list, "/v1/jobs?limit=2", "200");
        let cursor = page.body["next_cursor"].as_str().unwrap();
        self.ask(
            list,
            &format!("/v1/jobs?kind=all&limit=500&cursor={cursor}"),
            "200",
        );
        self.ask(list, "/v1/jobs?status=FAILED&plugin=tiny", "200");
        self.ask(list, "/v1/jobs?limit=501", "400 malformed_request");
        self.ask("GET /v1/plugins", "/v1/plugins", "200");
        self.ask(
            "GET /v1/events",
            "/v1/events?kind=nothing",
            "400 malformed_request",
        );
        self.events();
    }

    /// A stream has no end: only its head is an answer.
    fn events(&self) {
        let heard = self.daemon.events();
        let told = wait::until("something to be told", || {
            let all = heard.heard();
            (all.len() > 3).then_some(all)
        });
        for Event { data, .. } in told {
            self.contract.check_schema("Event", &data);
        }
        self.contract
            .check("GET /v1/events", &self.daemon.head("/v1/events"));
    }

    fn plugins(&self) {
        let one = "GET /v1/plugins/{name}";
        self.ask(one, "/v1/plugins/tiny", "200");
        let rollback = "POST /v1/plugins/{name}/rollback";
        self.ask(rollback, "/v1/plugins/builds/rollback", "200");
        for (action, well) in [
            ("enable", "200"),
            ("disable", "200"),
            ("reload", "200"),
            ("rollback", "503 plugin_unavailable"),
        ] {
            let route = format!("POST /v1/plugins/{{name}}/{action}");
            self.ask(&route, &format!("/v1/plugins/steps/{action}"), well);
            self.ask(
                &route,
                &format!("/v1/plugins/none/{action}"),
                "404 plugin_not_found",
            );
            self.ask(
                &route,
                &format!("/v1/plugins/%ff/{action}"),
                "400 malformed_request",
            );
        }
        self.ask(
            "POST /v1/plugins/{name}/reload",
            "/v1/plugins/broken/reload",
            "503 plugin_unavailable",
        );
        self.ask(one, "/v1/plugins/none", "404 plugin_not_found");
        self.ask(one, "/v1/plugins/%ff", "400 malformed_request");
    }

    fn tokens(&self) {
        let make = |body: &[u8], kind, expected: &str| {
            let headers = [("content-type", kind)];
            self.check("POST /v1/tokens", "/v1/tokens", &headers, body, expected)
        };
        let json = "application/json";
        let good = br#"{"name":"ci","role":"analyze","expires_in":"90d","rate":5}"#;
        make(good, json, "201");
        make(good, json, "422 invalid_input");
        make(b"{}", json, "400 malformed_request");
        make(good, "text/plain", "415 unsupported_media_type");
        make(&[b' '; 20_000], json, "413 payload_too_large");
        // There is one now, which nobody on loopback needs.
        self.ask("GET /v1/tokens", "/v1/tokens", "200");
        self.ask("DELETE /v1/tokens/{id}", "/v1/tokens/ci", "200");
        self.ask("DELETE /v1/tokens/{id}", "/v1/tokens/ci", "404 not_found");
        self.ask(
            "DELETE /v1/tokens/{id}",
            "/v1/tokens/%ff",
            "400 malformed_request",
        );
    }

    fn documents(&self) {
        self.ask("GET /healthz", "/healthz", "200");
        self.ask("GET /readyz", "/readyz", "200");
        self.ask("GET /openapi.json", "/openapi.json", "200");
        let history = "GET /v1/plugins/{name}/history";
        self.ask(history, "/v1/plugins/tiny/history", "200");
        self.ask(history, "/v1/plugins/none/history", "404 plugin_not_found");
        self.ask(history, "/v1/plugins/%ff/history", "400 malformed_request");
        self.ask("GET /v1/access", "/v1/access", "200");
        self.ask("GET /v1/host", "/v1/host", "200");
        self.ask("GET /metrics", "/metrics", "200");
        self.ask("GET /", "/", "200");
        self.tokens();
        for (route, path) in [("GET /", "/"), ("GET /assets/{name}", "/assets/style.css")] {
            self.check(route, path, &[("if-none-match", "*")], b"", "304");
        }
        self.ask("GET /assets/{name}", "/assets/main.js", "200");
        self.ask("GET /assets/{name}", "/assets/none", "404 not_found");
        self.ask("GET /assets/{name}", "/assets/%ff", "400 malformed_request");
        self.ask("GET /docs", "/docs", "200");
        self.ask("GET /docs/{file}", "/docs/start.js", "200");
        self.ask("GET /docs/{file}", "/docs/none", "404 not_found");
        self.ask("GET /docs/{file}", "/docs/%ff", "400 malformed_request");
    }
}

#[test]
fn a_plugin_that_is_dropped_in_is_in_the_document_until_it_is_removed() {
    let folder = Folder::of(&fixture("fixture-tiny"));
    let daemon = Daemon::start(&folder, "");
    daemon.plugin("tiny");
    let has = |name: &str| {
        let contract = Contract::of(&daemon);
        contract
            .schema(&format!("plugin.{name}.Options"))
            .is_object()
    };
    assert!(has("tiny"));
    assert!(!has("steps"));
    let file = fixture("fixture-steps");
    let file = folder.put("libsteps.so", &std::fs::read(file).unwrap());
    wait::until("steps to be in the document", || {
        let looked = daemon.get("/v1/plugins/steps").status == 200;
        (looked && has("steps")).then_some(())
    });
    std::fs::remove_file(file).unwrap();
    wait::until("steps to be gone from the document", || {
        (!has("steps")).then_some(())
    });
    assert!(has("tiny"));
}

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=xx");

fn form(fields: &[(&str, &str)], images: usize) -> Vec<u8> {
    let mut form = String::new();
    for (name, value) in fields {
        form +=
            &format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    for number in 0..images {
        form += &format!(
            "--xx\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{number}\"\r\n\
             Content-Type: image/gif\r\n\r\nGIF89a\x01\0\x01\0\0\0\0;\r\n"
        );
    }
    (form + "--xx--\r\n").into_bytes()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
