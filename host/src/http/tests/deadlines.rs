//! How long a caller lets a call take.

use std::sync::Arc;

use futures_util::{FutureExt, future};

use super::{GIF, ask, check, limits, plugin, plugin_in, post, services_of};
use crate::call::{Call, Entered, Lane, Outcome, Permit, RawOutput};
use crate::http::router;
use crate::runner::Pass;

/// Never comes to an end.
struct Hangs;

impl Lane for Hangs {
    fn enter_unguarded(&self, _: Arc<Call>, _: Permit, _: Pass) -> Entered {
        Entered::Running(future::pending().boxed())
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn outlives_deadline(&self) -> bool {
        false
    }
}

fn tell_deadline(call: &Call) -> Outcome {
    let told = format!(r#"{{"deadline":"{:?}"}}"#, call.deadline);
    Ok(RawOutput {
        json: told.into(),
        attachments: Vec::new(),
    })
}

#[tokio::test(start_paused = true)]
async fn the_shorter_deadline_counts() {
    for (asked, told) in [
        ("50", 50_u64),
        ("0050", 50),
        ("29999", 29_999),
        ("30001", 30_000),
        ("99999999999999999999999", 30_000),
    ] {
        let app = router(
            services_of(&[], [plugin_in("echo", Arc::new(Hangs))]),
            limits(),
        );
        let mut request = post("", "image/gif", GIF);
        request
            .headers_mut()
            .insert("x-deadline-ms", asked.parse().unwrap());
        let seen = ask(app, request).await;
        let expected = format!("504 timeout: no answer within {told} ms");
        assert_eq!(seen.line(), expected);
        assert_eq!(seen.body["error"]["details"]["deadline_ms"], told);
    }
}

#[tokio::test]
async fn a_caller_that_says_nothing_leaves_it_to_the_plugin() {
    let app = || router(services_of(&[], [plugin("echo", tell_deadline)]), limits());
    let line = ask(app(), post("", "image/gif", GIF)).await.line();
    assert!(line.contains(r#""deadline":"None""#), "{line}");
    let mut request = post("", "image/gif", GIF);
    let headers = request.headers_mut();
    headers.insert("x-deadline-ms", "70".parse().unwrap());
    let line = ask(app(), request).await.line();
    assert!(line.contains(r#""deadline":"Some(70ms)""#), "{line}");
}

#[tokio::test]
async fn a_deadline_that_is_none_is_malformed() {
    for (asked, found) in [
        ("0", "0"),
        ("", ""),
        ("-1", "-1"),
        ("+1", "+1"),
        ("1.5", "1.5"),
        ("1s", "1s"),
        ("1\t2", "1\\t2"),
        ("\u{e9}", "é"),
    ] {
        let mut request = post("", "image/gif", GIF);
        let value = axum::http::HeaderValue::from_bytes(asked.as_bytes()).unwrap();
        request.headers_mut().insert("x-deadline-ms", value);
        let expected = format!(
            "400 malformed_request: the header X-Deadline-Ms is `{found}`: send milliseconds, a \
             whole number from 1 on"
        );
        check(request, &expected).await;
    }
    let mut twice = post("", "image/gif", GIF);
    for value in ["1", "2"] {
        let headers = twice.headers_mut();
        headers.append("x-deadline-ms", value.parse().unwrap());
    }
    let expected = "400 malformed_request: there are two X-Deadline-Ms headers";
    check(twice, expected).await;
}
