//! What a lane tells of itself, and what an operator may do about a plugin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{GIF, Seen, ask, echo, get, limits, plugin_in, plugin_with, post, services_of};
use crate::call::{Call, Entered, Exhausted, Lane, Permit};
use crate::config::PluginConfig;
use crate::error::{CallError, Traceback};
use crate::http::Guarded;
use crate::http::answer::Failure;
use crate::http::router;
use crate::runner::Pass;

/// Is held back until it is lifted.
#[derive(Default)]
struct HeldBack(AtomicBool);

impl Lane for HeldBack {
    fn enter_unguarded(&self, call: Arc<Call>, _: Permit, _: Pass) -> Entered {
        Entered::Done(echo(&call))
    }

    fn is_inline(&self) -> bool {
        true
    }

    fn outlives_deadline(&self) -> bool {
        false
    }

    fn exhausted(&self) -> Option<Exhausted> {
        (!self.0.load(Ordering::Relaxed)).then(|| Exhausted {
            reason: "quarantined: it crashed three times".to_owned(),
            retry_after: Some(Duration::from_millis(1500)),
        })
    }

    fn lift(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn workers(&self) -> Option<Value> {
        Some(json!({ "running": 0, "restarts": 3 }))
    }
}

fn app() -> Guarded {
    let plugins = [plugin_in("echo", Arc::new(HeldBack::default()))];
    router(services_of(&[], plugins), limits())
}

async fn act(app: &Guarded, what: &str) -> Seen {
    let request = Request::post(format!("/v1/plugins/{what}"));
    ask(app.clone(), request.body(Body::empty()).unwrap()).await
}

async fn call(app: &Guarded) -> Seen {
    ask(app.clone(), post("", "image/gif", GIF)).await
}

#[tokio::test]
async fn a_plugin_that_is_held_back_says_why_and_until_when() {
    let app = app();
    let seen = ask(app.clone(), get("/v1/plugins/echo")).await;
    assert_eq!(seen.body["lifecycle"], "QUARANTINED");
    assert_eq!(seen.body["reason"], "quarantined: it crashed three times");
    let workers = json!({ "running": 0, "restarts": 3 });
    assert_eq!(seen.body["workers"], workers);
    let refused = call(&app).await;
    let expected = "503 plugin_unavailable: plugin is not available: quarantined: it crashed";
    assert!(refused.line().starts_with(expected), "{}", refused.line());
    assert_eq!(refused.headers["retry-after"], "2");
    assert!(!refused.headers.contains_key("connection"));
}

#[tokio::test]
async fn an_operator_lifts_what_holds_a_plugin_back() {
    let app = app();
    let seen = act(&app, "echo/enable").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.body["lifecycle"]),
        (200, &json!("READY"))
    );
    assert!(seen.body.get("reason").is_none());
    assert_eq!(call(&app).await.status, 200);
}

#[tokio::test]
async fn a_disabled_plugin_is_not_called_until_it_is_enabled() {
    let app = app();
    let seen = act(&app, "echo/disable").await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.body["name"], "echo");
    assert_eq!(seen.body["lifecycle"], "DISABLED");
    let reason = seen.body["reason"].as_str().unwrap();
    assert!(reason.starts_with("disabled: "), "{reason}");
    let refused = call(&app).await;
    let expected = format!("503 plugin_unavailable: plugin is not available: {reason}");
    assert_eq!(refused.line(), expected);
    assert!(!refused.headers.contains_key("retry-after"));
    act(&app, "echo/enable").await;
    assert_eq!(call(&app).await.status, 200);
    let seen = ask(app.clone(), get("/v1/plugins/echo")).await;
    assert_eq!(seen.body["success_count"], 1);
}

#[tokio::test]
async fn only_plugins_that_are_there_are_acted_upon() {
    let app = app();
    for action in ["enable", "disable"] {
        let line = act(&app, &format!("ecko/{action}")).await.line();
        assert!(
            line.starts_with("404 plugin_not_found: no plugin `ecko`: did you mean"),
            "{line}"
        );
        let line = act(&app, &format!("broken/{action}")).await.line();
        assert!(line.starts_with("503 plugin_unavailable: "), "{line}");
        let line = ask(app.clone(), get(&format!("/v1/plugins/echo/{action}")))
            .await
            .line();
        assert_eq!(
            line,
            "405 method_not_allowed: `GET` is not allowed here: use POST"
        );
    }
}

/// Ends when it is told that nobody waits.
#[derive(Default)]
struct Listens(Arc<Notify>);

impl Lane for Listens {
    fn enter_unguarded(&self, call: Arc<Call>, permit: Permit, _: Pass) -> Entered {
        self.0.notify_one();
        let running = async move {
            let _permit = permit;
            call.until_cancelled().await;
            Err(CallError::Cancelled)
        };
        Entered::Running(running.boxed())
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn outlives_deadline(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn calls_that_are_cancelled_at_the_end_are_answered() {
    let lane = Listens::default();
    let entered = Arc::clone(&lane.0);
    let services = services_of(&[], [plugin_in("echo", Arc::new(lane))]);
    let app = router(services.clone(), limits());
    let asked = ask(app, post("", "image/gif", GIF));
    let stop = async {
        entered.notified().await;
        services.jobs.cancel_all();
    };
    let (seen, ()) = tokio::join!(asked, stop);
    assert_eq!(seen.line(), "499 cancelled: cancelled");
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_hears_that_its_plugin_was_disabled() {
    let lane = Listens::default();
    let entered = Arc::clone(&lane.0);
    let config = PluginConfig {
        concurrency: 1,
        ..PluginConfig::default()
    };
    let plugin = plugin_with("echo", Arc::new(lane), config);
    let services = services_of(&[], [plugin]);
    let app = router(services.clone(), limits());
    let first = tokio::spawn(ask(app.clone(), post("", "image/gif", GIF)));
    entered.notified().await;
    let second = tokio::spawn(ask(app, post("", "image/gif", GIF)));
    while services.plugins.status("echo").unwrap().queued == 0 {
        tokio::task::yield_now().await;
    }
    services.plugins.disable_plugin("echo").unwrap();
    // Its caller goes away, and so does the call.
    first.abort();
    let line = second.await.unwrap().line();
    let expected = "503 plugin_unavailable: plugin is not available: disabled: ";
    assert!(line.starts_with(expected), "{line}");
}

#[tokio::test]
async fn the_end_of_a_worker_is_told_with_its_facts() {
    let check = async |error: CallError, line: &str, facts: Value| {
        let mut response = Failure::from(error).into_response();
        let id = axum::http::HeaderValue::from_static("x");
        response.headers_mut().insert("x-request-id", id);
        let seen = Seen::of(response).await;
        assert_eq!(seen.line(), line);
        assert_eq!(seen.body["error"]["type"], "ExecutionError");
        assert_eq!(seen.body["error"]["details"], facts);
    };
    let traceback = || Traceback::from("secret".to_owned());
    let crashed = |retryable| CallError::Crashed {
        signal: "SIGSEGV".to_owned(),
        retryable,
        traceback: traceback(),
    };
    let line = "502 crash: the plugin's worker died of SIGSEGV";
    check(
        crashed(false),
        line,
        json!({ "code": "crash", "signal": "SIGSEGV" }),
    )
    .await;
    let facts = json!({ "code": "crash", "signal": "SIGSEGV", "retryable": true });
    check(crashed(true), line, facts).await;
    let error = CallError::Exited {
        exit_code: 3,
        traceback: traceback(),
    };
    let line = "502 exited: the plugin ended its worker with exit code 3";
    check(error, line, json!({ "code": "exited", "exit_code": 3 })).await;
    let error = CallError::OutOfMemory {
        limit: 512 << 20,
        traceback: traceback(),
    };
    let line = "502 out_of_memory: the plugin's worker ran out of memory: the limit is 512 MiB";
    check(
        error,
        line,
        json!({ "code": "out_of_memory", "limit_bytes": 512 << 20 }),
    )
    .await;
    let error = CallError::Protocol {
        problem: "the frame's magic is wrong".to_owned(),
        traceback: traceback(),
    };
    let line = "502 protocol: the plugin's worker broke the protocol: the frame's magic is wrong";
    check(error, line, json!({ "code": "protocol" })).await;
}
