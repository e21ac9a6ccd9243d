//! Who may call which route, in whatever words it says who it is; and what is for operators only. (FAULTS HT-16, HT-17,
//! JB-16)

use axum::http::{HeaderValue, Method};
use tempfile::TempDir;

use super::*;
use crate::access::{New, Role, Rules, Secret, create};
use crate::error::CallError;
use crate::http::access::Needs;
use crate::http::{ROLES, router};

/// A host that is reached from elsewhere, and a token of each role.
struct Gated {
    app: Guarded,
    services: Services,
    tokens: Vec<(Role, Secret)>,
    _folder: TempDir,
}

const FROM: ([u8; 4], u16) = ([192, 0, 2, 1], 4711);

/// Panics, as its guard says.
fn panics(_: &Call) -> Outcome {
    Err(CallError::Panicked {
        message: "kaboom".to_owned(),
        location: "src/lib.rs:1:1".to_owned(),
        traceback: "where it happened".to_owned().into(),
    })
}

impl Gated {
    fn new() -> Self {
        Self::with(limits())
    }

    fn with(limits: HttpLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let token = |role: Role| {
            let new = New {
                name: format!("t-{role}"),
                role,
                expires: None,
                rate: None,
            };
            (role, create(&path, new).unwrap().1)
        };
        let tokens = Role::ALL.map(token).into();
        let rules = Rules {
            is_local: false,
            local_needs: false,
            insecure: false,
            rate: 0,
            burst: 1,
        };
        let mut services = services_of(&[], [plugin("echo", echo), plugin("panics", panics)]);
        services.access = Arc::new(Access::open(&path, rules).unwrap());
        Self {
            app: router(services.clone(), limits),
            services,
            tokens,
            _folder: folder,
        }
    }

    fn header(&self, role: Role) -> String {
        let token = self.tokens.iter().find(|(it, _)| *it == role);
        format!("Bearer {}", token.unwrap().1.as_str())
    }

    /// The answer to who comes over the network with these headers.
    async fn send(&self, mut request: Request<Body>, values: &[HeaderValue]) -> Response {
        let peer = std::net::SocketAddr::from(FROM);
        let info = axum::extract::ConnectInfo(peer);
        request.extensions_mut().insert(info);
        for value in values {
            request.headers_mut().append("authorization", value.clone());
        }
        self.app.clone().oneshot(request).await.unwrap()
    }

    async fn ask(&self, request: Request<Body>, role: Option<Role>) -> Seen {
        let header = role.map(|role| self.header(role).parse().unwrap());
        let values: Vec<HeaderValue> = header.into_iter().collect();
        let response = self.send(request, &values).await;
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Seen {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }
}

/// A request for a route of the table, and no more than that.
fn of(path: &str, method: Method) -> Request<Body> {
    let uri = match path {
        "/assets/{name}" => "/assets/main.js".to_owned(),
        "/docs/{file}" => "/docs/start.js".to_owned(),
        path => path.replace(['{', '}'], ""),
    };
    let request = Request::builder().method(method).uri(uri);
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn every_route_lets_in_the_roles_of_its_row_and_no_others() {
    let gated = Gated::new();
    // A stream of events ends with its host.
    gated.services.state.draining();
    let verbs = [Method::GET, Method::POST, Method::DELETE, Method::PUT];
    for (path, needs) in ROLES {
        let mut is_there = false;
        for verb in &verbs {
            for role in [
                None,
                Some(Role::Analyze),
                Some(Role::Operate),
                Some(Role::Admin),
            ] {
                let seen = gated.ask(of(path, verb.clone()), role).await;
                let found = seen.status.as_u16();
                let expected = match (needs, role) {
                    (Needs::Role(_), None) => Some(401),
                    (Needs::Role(needed), Some(role)) if role < *needed => Some(403),
                    _ => None,
                };
                let asked = format!("{verb} {path} as {role:?}: {}", seen.line());
                if found == 405 {
                    continue;
                }
                is_there = true;
                match expected {
                    Some(expected) => assert_eq!(found, expected, "{asked}"),
                    None => assert!(![401, 403, 429].contains(&found), "{asked}"),
                }
                assert!(!seen.line().contains("no route"), "{asked}");
            }
        }
        assert!(is_there, "{path} has no verb");
    }
}

#[test]
fn every_route_has_a_row() {
    let source = include_str!("../mod.rs");
    let written = source.split(".route(\"").skip(1);
    let written: Vec<_> = written.filter_map(|rest| rest.split('"').next()).collect();
    assert!(written.len() >= 20, "{written:?}");
    for path in written {
        let rows = ROLES.iter().filter(|(known, _)| *known == path).count();
        assert_eq!(rows, 1, "rows of {path}");
    }
}

#[tokio::test]
async fn ht_16_a_missing_or_wrong_token_is_401() {
    let (stranger, good) = (Gated::new().header(Role::Admin), Gated::new());
    let right = good.header(Role::Admin);
    let long = format!("Bearer {}", "A".repeat(20_000));
    let twice = format!("{right} {right}");
    let shorter = right[..right.len() - 1].to_owned();
    let comma = format!("{right},");
    let tab = right.replace(' ', "\t");
    for value in [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer null",
        "Bearer bhk_",
        "Bearer bhk_000000000000_",
        "Basic YWRtaW46YWRtaW4=",
        "Digest username=\"x\"",
        "Bearerbhk_000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Bearer bhk_000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Bearer \"x\"",
        &right["Bearer ".len()..],
        &stranger,
        &long,
        &twice,
        &shorter,
        &comma,
        &tab,
    ] {
        let gated = Gated::with(limits());
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        // Where none is needed, a wrong one is refused all the same.
        for path in ["/v1/plugins", "/healthz", "/v1/tokens"] {
            let seen = Seen::of(gated.send(get(path), std::slice::from_ref(&value)).await).await;
            let asked = format!("{path} with {value:?}: {}", seen.line());
            assert!(seen.line().starts_with("401 unauthorized: "), "{asked}");
            assert_eq!(seen.headers["www-authenticate"], "Bearer", "{asked}");
            assert_eq!(seen.body["error"]["type"], "ValidationError");
        }
    }
    let raw = HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap();
    let right: HeaderValue = right.parse().unwrap();
    for values in [
        vec![raw],
        vec![right.clone(), right.clone()],
        vec![right.clone(), HeaderValue::from_static("x")],
    ] {
        let seen = Seen::of(good.send(get("/v1/plugins"), &values).await).await;
        assert_eq!(seen.status, 401, "{values:?}");
    }
    let lower = right.to_str().unwrap().replace("Bearer ", "bEARER   ");
    let seen = Seen::of(
        good.send(get("/v1/plugins"), &[lower.parse().unwrap()])
            .await,
    )
    .await;
    assert_eq!(seen.status, 200, "{}", seen.line());
}

#[tokio::test]
async fn ht_17_guesses_are_429_and_right_tokens_pass() {
    let gated = Gated::new();
    let mut seen_429 = 0;
    for _ in 0..1000 {
        let guess = HeaderValue::from_static("Bearer bhk_guess");
        let seen = Seen::of(gated.send(get("/v1/plugins"), &[guess]).await).await;
        if seen.status == 429 {
            seen_429 += 1;
            let line = seen.line();
            assert!(
                line.starts_with("429 rate_limited: too many wrong tokens"),
                "{line}"
            );
            let wait: u64 = seen.headers["retry-after"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!((1..=3).contains(&wait), "{wait}");
        } else {
            assert_eq!(seen.status, 401);
        }
    }
    assert!(seen_429 > 900, "{seen_429}");
    let seen = gated.ask(get("/v1/plugins"), Some(Role::Analyze)).await;
    assert_eq!(seen.status, 200);
}

#[tokio::test]
async fn callers_hear_who_they_are() {
    let gated = Gated::new();
    for role in Role::ALL {
        let seen = gated.ask(get("/v1/access"), Some(role)).await;
        let expected = json!({ "role": role, "token": format!("t-{role}"), "needs_token": true });
        assert_eq!(seen.body, expected);
    }
    let nobody = gated.ask(get("/v1/access"), None).await;
    assert!(
        nobody
            .line()
            .starts_with("401 unauthorized: a token is needed here")
    );
    let local = check(get("/v1/access"), "200 ").await;
    assert_eq!(
        local.body,
        json!({ "role": "admin", "token": null, "needs_token": false })
    );
}

#[tokio::test]
async fn a_role_that_does_not_suffice_is_told_with_the_one_that_does() {
    let gated = Gated::new();
    let disable = || of("/v1/plugins/echo/disable", Method::POST);
    let seen = gated.ask(disable(), Some(Role::Analyze)).await;
    let expected = "403 forbidden: it needs the role `operate`, and the token `t-analyze` has the role `analyze`";
    assert_eq!(seen.line(), expected);
    assert_eq!(seen.body["error"]["details"]["needed"], "operate");
    assert_eq!(gated.ask(disable(), Some(Role::Operate)).await.status, 200);
}

#[tokio::test]
async fn a_page_elsewhere_gets_nowhere_with_a_token() {
    let gated = Gated::new();
    let mut request = of("/v1/plugins/echo/disable", Method::POST);
    request
        .headers_mut()
        .insert("host", "127.0.0.1:8077".parse().unwrap());
    request
        .headers_mut()
        .insert("origin", "https://evil.example".parse().unwrap());
    let seen = gated.ask(request, Some(Role::Admin)).await;
    assert!(
        seen.line()
            .starts_with("403 forbidden: requests with the Origin"),
        "{}",
        seen.line()
    );
}

#[tokio::test]
async fn tokens_are_made_listed_and_taken_away() {
    let gated = Gated::new();
    let make = |body: Value| {
        let request = Request::post("/v1/tokens").header("content-type", "application/json");
        request.body(Body::from(body.to_string())).unwrap()
    };
    let admin = Some(Role::Admin);
    let wanted = json!({ "name": "new", "role": "operate", "expires_in": "90d", "rate": 5 });
    let made = gated.ask(make(wanted.clone()), admin).await;
    assert_eq!(made.status, 201, "{}", made.line());
    let (id, token) = (
        made.body["id"].as_str().unwrap(),
        made.body["token"].as_str().unwrap(),
    );
    assert_eq!(made.headers["location"], format!("/v1/tokens/{id}"));
    assert!(token.starts_with(&format!("bhk_{id}_")));
    let value: HeaderValue = format!("Bearer {token}").parse().unwrap();
    let seen = Seen::of(
        gated
            .send(get("/v1/access"), std::slice::from_ref(&value))
            .await,
    )
    .await;
    assert_eq!(seen.body["role"], "operate", "it holds at once");

    let listed = gated.ask(get("/v1/tokens"), admin).await;
    let text = listed.body.to_string();
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 4);
    assert!(
        !text.contains(&token[17..]) && !text.contains("sha256") && !text.contains("\"token\""),
        "{text}"
    );
    assert_eq!(listed.body["items"][3]["rate"], 5);

    for (body, expected) in [
        (wanted, "422 invalid_input: there is a token `new` already"),
        (
            json!({ "name": " ", "role": "admin" }),
            "422 invalid_input: ` ` is no name",
        ),
        (
            json!({ "name": "x", "role": "root" }),
            "400 malformed_request: unknown variant `root`",
        ),
        (
            json!({ "name": "x" }),
            "400 malformed_request: missing field `role`",
        ),
        (
            json!({ "name": "x", "role": "admin", "secret": "s" }),
            "400 malformed_request: unknown field `secret`",
        ),
        (
            json!({ "name": "x", "role": "admin", "expires_in": "soon" }),
            "400 malformed_request: field `expires_in` is `soon`",
        ),
        (
            json!({ "name": "x", "role": "admin", "expires_in": "0s" }),
            "422 invalid_input: a token cannot expire after",
        ),
        (json!("x".repeat(20_000)), "413 payload_too_large"),
        (json!([]), "400 malformed_request"),
    ] {
        let seen = gated.ask(make(body), admin).await;
        assert!(
            seen.line().starts_with(expected),
            "{}\n{expected}",
            seen.line()
        );
    }
    let plain = Request::post("/v1/tokens").body(Body::from("{}")).unwrap();
    let seen = gated.ask(plain, admin).await;
    assert!(
        seen.line()
            .starts_with("415 unsupported_media_type: a token takes no"),
        "{}",
        seen.line()
    );

    let revoke = || of(&format!("/v1/tokens/{id}"), Method::DELETE);
    assert_eq!(gated.ask(revoke(), admin).await.status, 200);
    assert_eq!(
        gated.ask(revoke(), admin).await.line(),
        format!("404 not_found: no token `{id}`")
    );
    let seen = Seen::of(gated.send(get("/v1/access"), &[value]).await).await;
    assert_eq!(seen.status, 401, "it holds no longer");
}

#[tokio::test]
async fn what_is_internal_is_for_operators_only() {
    let gated = Gated::new();
    let panic = || post("?plugin=panics", "image/gif", GIF);
    for role in Role::ALL {
        let seen = gated.ask(panic(), Some(role)).await;
        assert_eq!(seen.status, 500);
        let job = seen.headers["x-job-id"].to_str().unwrap().to_owned();
        let record = gated.ask(get(&format!("/v1/jobs/{job}")), Some(role)).await;
        let [answer, record] = [&seen.body, &record.body];
        let expected = json!({ "traceback": "where it happened" });
        if role >= Role::Operate {
            assert_eq!(
                (&answer["_internal"], &record["_internal"]),
                (&expected, &expected)
            );
            let length = seen.headers.get("content-length");
            assert!(length.is_none_or(|it| it == &answer.to_string().len().to_string()));
        } else {
            for text in [answer.to_string(), record.to_string()] {
                assert!(
                    !text.contains("_internal") && !text.contains("where it happened"),
                    "{text}"
                );
            }
        }
    }
    // A tokenless answer on loopback waits for no names of functions; the record has them.
    let app = router(
        Services {
            access: Arc::new(Access::unguarded()),
            ..gated.services.clone()
        },
        limits(),
    );
    let seen = ask(app.clone(), panic()).await;
    let job = seen.headers["x-job-id"].to_str().unwrap().to_owned();
    let record = app.oneshot(get(&format!("/v1/jobs/{job}"))).await.unwrap();
    let body = to_bytes(record.into_body(), usize::MAX).await.unwrap();
    let record: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(record["_internal"]["traceback"], "where it happened");
}

#[tokio::test]
async fn jb_16_an_analysis_is_looked_up_by_whose_it_is() {
    let gated = Gated::new();
    let seen = gated
        .ask(post("?plugin=echo", "image/gif", GIF), Some(Role::Operate))
        .await;
    let job = seen.headers["x-job-id"].to_str().unwrap().to_owned();
    for (verb, path) in [
        (Method::GET, format!("/v1/jobs/{job}")),
        (Method::GET, format!("/v1/jobs/{job}?wait=1")),
        (Method::GET, format!("/v1/jobs/{job}/result")),
        (Method::GET, format!("/v1/jobs/{job}/events")),
        (Method::GET, format!("/v1/jobs/{job}/attachments/0")),
    ] {
        let seen = gated.ask(of(&path, verb), Some(Role::Analyze)).await;
        assert_eq!(
            seen.line(),
            format!("404 not_found: no job `{job}`"),
            "{path}"
        );
    }
    let look = || get(&format!("/v1/jobs/{job}"));
    assert_eq!(gated.ask(look(), Some(Role::Operate)).await.status, 200);
    assert_eq!(gated.ask(look(), Some(Role::Admin)).await.status, 200);
    let own = gated
        .ask(post("?plugin=echo", "image/gif", GIF), Some(Role::Analyze))
        .await;
    let own = own.headers["x-job-id"].to_str().unwrap();
    let seen = gated
        .ask(get(&format!("/v1/jobs/{own}")), Some(Role::Analyze))
        .await;
    assert_eq!(seen.status, 200);
}

#[tokio::test]
async fn every_answer_keeps_browsers_from_guessing() {
    let limits = HttpLimits {
        tls: true,
        ..limits()
    };
    let gated = Gated::with(limits);
    for (path, role) in [
        ("/healthz", None),
        ("/v1/plugins", None),
        ("/v1/plugins", Some(Role::Analyze)),
        ("/nowhere", None),
    ] {
        let seen = gated.ask(get(path), role).await;
        assert_eq!(seen.headers["x-content-type-options"], "nosniff", "{path}");
        let policy = &seen.headers["cross-origin-resource-policy"];
        assert_eq!(policy, "same-origin", "{path}");
        assert_eq!(seen.headers["cache-control"], "no-store", "{path}");
        assert_eq!(
            seen.headers["strict-transport-security"],
            "max-age=31536000"
        );
        assert!(
            !seen.headers.contains_key("content-security-policy"),
            "{path} is no page"
        );
    }
    let plain = check(get("/healthz"), "200 ").await;
    assert!(
        !plain.headers.contains_key("strict-transport-security"),
        "no TLS is spoken"
    );
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere() {
    use crate::http::headers::secure;
    use axum::middleware::map_response;
    use axum::response::Html;
    let page = || async { Html("<p>") };
    let own = || async { ([("cache-control", "max-age=60")], Html("<p>")) };
    let app = axum::Router::new()
        .route("/", axum::routing::get(page))
        .route("/own", axum::routing::get(own))
        .layer(map_response(async |mut answer: Response| {
            secure(limits(), answer.headers_mut());
            answer
        }));
    let answer = app.clone().oneshot(get("/")).await.unwrap();
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    for part in [
        "default-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.split("; ").any(|it| it == part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    assert_eq!(
        answer.headers()["cross-origin-opener-policy"],
        "same-origin"
    );
    assert_eq!(
        answer.headers()["cross-origin-resource-policy"],
        "same-origin"
    );
    let answer = app.oneshot(get("/own")).await.unwrap();
    assert_eq!(
        answer.headers()["cache-control"],
        "max-age=60",
        "what a route says stands"
    );
}
