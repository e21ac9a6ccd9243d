//! The JSON body: each way to be wrong, with its place.

use axum::body::Body;
use serde_json::json;

use super::{GIF_BASE64, check, post};

async fn malformed(body: impl Into<Body>, expected: &str) {
    let expected = format!("400 malformed_request: {expected}");
    check(post("", "application/json", body), &expected).await;
}

#[tokio::test]
async fn ht_06_bad_base64_is_told_with_its_place() {
    for (image, expected) in [
        ("R0lG*0DlhAQ", "`*` at position 4 is not in the alphabet"),
        ("R0lGé0Dlh", "`é` at position 4 is not in the alphabet"),
        ("R0lG\u{0}0Dl", "`\\0` at position 4 is not in the alphabet"),
        ("R0lG-_Dl", "`-` at position 4 is of the URL-safe alphabet"),
        ("R0lG\nODlh", "`\\n` at position 4 is whitespace"),
        (" R0lGODlh", "` ` at position 0 is whitespace"),
        ("R0lGODlh\n", "`\\n` at position 8 is whitespace"),
        ("R0l=ODlh", "`=` at position 3 is padding before the end"),
        ("R0lGO", "its 5 digits stand for no whole number of bytes"),
        ("R", "its 1 digits stand for no whole number"),
        (
            "R0lGOA",
            "it ends at position 6 with 0 of `=` where 2 belong",
        ),
        (
            "R0lGOA=",
            "it ends at position 7 with 1 of `=` where 2 belong",
        ),
        (
            "R0lGOA===",
            "it ends at position 9 with 3 of `=` where 2 belong",
        ),
        (
            "R0lGODl=",
            "the digit at position 6 has bits that stand for nothing",
        ),
        (
            "R0lGOB==",
            "the digit at position 5 has bits that stand for nothing",
        ),
        (
            "R0lGODlh====",
            "it ends at position 12 with 4 of `=` where 0 belong",
        ),
        ("====", "it ends at position 4 with 4 of `=` where 0 belong"),
        ("data:image/gif;base64,R0lG", "it is a data URL"),
    ] {
        let body = json!({ "image": image, "mime_type": "image/gif" }).to_string();
        malformed(body, &format!("image is no base64: {expected}")).await;
    }
}

#[tokio::test]
async fn ht_06_a_fault_far_into_an_image_is_found() {
    let mut image = "R0lG".repeat(50_000);
    image.replace_range(123_456..123_457, "!");
    let body = json!({ "image": image, "mime_type": "image/gif" }).to_string();
    let expected = "image is no base64: `!` at position 123456 is not in the alphabet";
    malformed(body, expected).await;
}

#[tokio::test]
async fn ht_07_malformed_json_is_told_with_its_place() {
    for (body, expected) in [
        (&b""[..], "EOF while parsing a value at line 1 column 0"),
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b"{}x", "trailing characters at line 1 column 3"),
        (b"{}\n{}", "trailing characters at line 2 column 1"),
        (b"\xef\xbb\xbf{}", "expected value at line 1 column 1"),
        (
            b"{\"image\": \"\xff\"}",
            "invalid unicode code point at line 1 column",
        ),
        (
            b"{\"options\": \"\xff\"}",
            "invalid unicode code point at line 1 column",
        ),
        (b"\xff\xfe{\0}\0", "expected value at line 1 column 1"),
        (
            b"[]",
            "invalid type: sequence, expected an object with plugin, image",
        ),
        (b"null", "invalid type: null, expected an object"),
        (
            b"\"text\"",
            "invalid type: string \"text\", expected an object",
        ),
        (
            b"{\"image\": 1e400}",
            "number out of range at line 1 column",
        ),
        (
            b"{\"image\": 3}",
            "invalid type: integer `3`, expected a string at line 1 column 11",
        ),
        (
            b"{\"image\": []}",
            "invalid type: sequence, expected a string at line 1 column",
        ),
        (b"{\"image\": \"\n\"}", "control character"),
        (
            b"{\"image\": \"\\ud800\"}",
            "unexpected end of hex escape at line 1 column",
        ),
        (
            b"{\"plugin\": {}}",
            "invalid type: map, expected a string at line 1 column",
        ),
        (
            b"{\"plugin\": null, \"plugin\": \"a\"}",
            "duplicate field `plugin` at line 1 column",
        ),
        (
            b"{\"image\": \"\",\n \"image\": \"\"}",
            "duplicate field `image` at line 2 column",
        ),
        (
            b"{\"options\": {}, \"options\": {}}",
            "duplicate field `options` at line 1 column",
        ),
        (
            b"{\"imge\": 3}",
            "unknown field `imge`, did you mean `image`? at line 1 column",
        ),
        (
            b"{\"zzzzzzzz\": 3}",
            "unknown field `zzzzzzzz`, there are only plugin, image",
        ),
        (
            b"{\"options\": {1}}",
            "key must be a string at line 1 column",
        ),
        (b"{'image': 3}", "key must be a string at line 1 column 2"),
        (b"{\"image\": NaN}", "expected value at line 1 column"),
    ] {
        malformed(body, &format!("the JSON body: {expected}")).await;
    }
}

#[tokio::test]
async fn ht_07_faults_in_options_are_told() {
    let body = json!({ "image": GIF_BASE64, "mime_type": "image/gif" }).to_string();
    let with = |options: &str| body.replacen('{', &format!("{{\"options\": {options},"), 1);
    malformed(with(r#"{"n": 1e400}"#), "options: number out of range").await;
    check(
        post("", "application/json", with("[]")),
        "422 invalid_options: ",
    )
    .await;
    check(
        post("", "application/json", with("3")),
        "422 invalid_options: ",
    )
    .await;
    check(post("", "application/json", with("{}")), "200 ").await;
}

#[tokio::test]
async fn ht_07_long_names_are_cut() {
    let body = format!("{{\"{}\": 3}}", "é".repeat(100_000));
    malformed(body, "the JSON body: unknown field `éé").await;
}

#[tokio::test]
async fn ht_11_json_that_nests_too_deep_is_malformed() {
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    malformed(deep("[", "]"), "the JSON body: invalid type: sequence").await;
    malformed(deep("{\"image\":", "}"), "the JSON body: invalid type: map").await;
    let body = format!(
        r#"{{"image": "{GIF_BASE64}", "mime_type": {}}}"#,
        deep("[", "]")
    );
    check(
        post("", "application/json", body),
        "400 missing_mime_type: ",
    )
    .await;
    let head = format!(r#"{{"image": "{}", "mime_type": "image/gif""#, GIF_BASE64);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let body = format!(r#"{head}, "options": {inner}}}"#);
        malformed(body, "options: recursion limit exceeded").await;
        malformed(
            format!(r#"{{"plugin": {inner}}}"#),
            "the JSON body: invalid type",
        )
        .await;
    }
}
