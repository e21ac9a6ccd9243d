//! The three bodies: that they come to the same, and how each can be wrong.

use serde_json::json;

use super::{GIF, GIF_BASE64, MAX_BODY, check, post};
use axum::body::Body;

pub(super) const FORM: &str = "multipart/form-data; boundary=X";

/// A multipart body of parts, each with its headers' rest and content.
pub(super) fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(b"--X\r\nContent-Disposition: form-data; name=");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--X--\r\n");
    body
}

pub(super) const FILE: &str = "\"image\"; filename=\"a.gif\"\r\nContent-Type: image/gif";

#[tokio::test]
async fn three_bodies_give_the_same_result() {
    let expected = r#"200 {"plugin":"echo","result":{"bytes":14,"mime_type":"image/gif","options":{"deep":true}}}"#;
    let options = r#"{"deep":true}"#;
    let as_json = json!({
        "plugin": "echo", "image": GIF_BASE64, "mime_type": "image/gif", "options": {"deep": true},
    });
    for content_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.us+json",
    ] {
        check(post("", content_type, as_json.to_string()), expected).await;
    }
    let parts: [(&str, &[u8]); 3] = [
        ("plugin", b"echo"),
        (FILE, GIF),
        ("options", options.as_bytes()),
    ];
    check(post("", FORM, form(&parts)), expected).await;
    let query = "?plugin=echo&options=%7B%22deep%22%3Atrue%7D";
    check(post(query, "image/gif", GIF), expected).await;
    check(post(query, "IMAGE/GIF; q=1", GIF), expected).await;
}

#[tokio::test]
async fn without_a_plugin_the_default_runs() {
    let named = r#"200 {"plugin":"echo","#;
    check(post("", "image/gif", GIF), named).await;
    check(post("?plugin=default", "image/gif", GIF), named).await;
    check(post("?options=null", "image/gif", GIF), named).await;
    check(post("", FORM, form(&[(FILE, GIF)])), named).await;
    let nulls = json!({
        "plugin": null, "image": GIF_BASE64, "mime_type": "image/gif", "options": null,
    });
    check(post("", "application/json", nulls.to_string()), named).await;
}

#[tokio::test]
async fn an_image_must_be_there() {
    let empty = "400 empty_image: Empty image payload";
    for body in [
        r#"{}"#,
        r#"{"image": null}"#,
        r#"{"image": "", "mime_type": "image/png"}"#,
    ] {
        check(post("", "application/json", body), empty).await;
    }
    check(post("", "image/gif", ""), empty).await;
    check(post("", "", ""), empty).await;
    check(post("", FORM, form(&[("plugin", b"echo")])), empty).await;
    check(post("", FORM, form(&[(FILE, b"")])), empty).await;
}

#[tokio::test]
async fn a_mime_type_must_be_there() {
    let missing = "400 missing_mime_type: Missing or invalid mime_type";
    for mime_type in [
        json!(null),
        json!(3),
        json!(""),
        json!("png"),
        json!(["image/gif"]),
    ] {
        let body = json!({ "image": GIF_BASE64, "mime_type": mime_type }).to_string();
        check(post("", "application/json", body), missing).await;
    }
    let body = json!({ "image": GIF_BASE64 }).to_string();
    check(post("", "application/json", body), missing).await;
    check(post("", "", GIF), missing).await;
    check(post("", "png", GIF), missing).await;
    check(post("", FORM, form(&[("image", GIF)])), missing).await;
    let odd = "image\r\nContent-Type: png";
    check(post("", FORM, form(&[(odd, GIF)])), missing).await;
    let both: [(&str, &[u8]); 2] = [(FILE, GIF), ("mime_type", b"")];
    check(post("", FORM, form(&both)), missing).await;
}

#[tokio::test]
async fn ht_13_bytes_that_are_no_such_image_are_refused() {
    let mismatch = "422 image_mismatch: the image was sent as `image/png`";
    check(post("", "image/png", GIF), mismatch).await;
    check(post("", "image/png", "%PDF-1.7"), mismatch).await;
    let said: [(&str, &[u8]); 2] = [(FILE, GIF), ("mime_type", b"image/png")];
    check(post("", FORM, form(&said)), mismatch).await;
    let other = "415 unsupported_mime_type: the plugin takes no `application/x-ours`";
    check(post("", "application/x-ours", GIF), other).await;
}

#[tokio::test]
async fn a_form_is_read_strictly() {
    let malformed = async |parts: &[(&str, &[u8])], expected: &str| {
        let expected = format!("400 malformed_request: {expected}");
        check(post("", FORM, form(parts)), &expected).await;
    };
    malformed(
        &[("imge", GIF)],
        "unknown form field `imge`, did you mean `image`?",
    )
    .await;
    malformed(
        &[("\"\"", GIF)],
        "unknown form field ``, there are only plugin",
    )
    .await;
    malformed(&[(FILE, GIF), (FILE, GIF)], "duplicate form field `image`").await;
    malformed(&[("plugin", b"\xff")], "form field `plugin` is no UTF-8").await;
    malformed(
        &[(FILE, GIF), ("options", b"{")],
        "options: EOF while parsing",
    )
    .await;
    malformed(&[("plugin", b"No Name")], "`No Name` is no plugin name").await;
}

#[tokio::test]
async fn a_broken_form_is_malformed() {
    let whole = form(&[("plugin", b"echo"), (FILE, GIF)]);
    let malformed = "400 malformed_request: ";
    for end in 0..whole.len() - 4 {
        check(post("", FORM, whole[..end].to_vec()), malformed).await;
    }
    check(post("", "multipart/form-data", whole.clone()), malformed).await;
    check(
        post("", "multipart/form-data; boundary=Y", whole),
        malformed,
    )
    .await;
}

#[tokio::test]
async fn a_query_is_read_strictly() {
    let malformed = async |query: &str, content_type: &str, expected: &str| {
        let expected = format!("400 malformed_request: {expected}");
        check(post(query, content_type, GIF), &expected).await;
    };
    let raw = "image/gif";
    malformed(
        "?plugn=a",
        raw,
        "unknown query parameter `plugn`, did you mean `plugin`?",
    )
    .await;
    malformed(
        "?plugin=a&plugin=b",
        raw,
        "duplicate query parameter `plugin`",
    )
    .await;
    malformed("?options=%7B", raw, "options: EOF while parsing").await;
    malformed("?plugin=%ff", raw, "query parameter `plugin` is no UTF-8").await;
    let inside = "query parameter `plugin` is for a raw image: a JSON body has `plugin` inside";
    malformed("?plugin=a", "application/json", inside).await;
    let inside = "query parameter `options` is for a raw image: a multipart body has";
    malformed("?options=3", FORM, inside).await;
    malformed("?pluign=a", FORM, "unknown query parameter `pluign`").await;
    check(post("?options=3", raw, GIF), "422 invalid_options: ").await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let too_large = "413 payload_too_large: the body is larger than 1048576 bytes";
    for content_type in ["image/gif", "application/json", FORM] {
        let announced = Body::from(vec![b' '; MAX_BODY + 1]);
        let seen = check(post("", content_type, announced), too_large).await;
        assert_eq!(seen.headers["connection"], "close");
        let chunk = || Ok::<_, std::io::Error>(vec![b' '; MAX_BODY / 2]);
        let chunks = [chunk(), chunk(), Ok(vec![b' '])];
        let chunked = Body::from_stream(futures_util::stream::iter(chunks));
        check(post("", content_type, chunked), too_large).await;
    }
    let full = Body::from(vec![b' '; MAX_BODY]);
    check(post("", "image/gif", full), "200 ").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let never = Body::from_stream(futures_util::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >());
    let expected = "408 request_timeout: the request did not arrive within 30 s";
    let seen = check(post("", "image/gif", never), expected).await;
    assert_eq!(seen.headers["connection"], "close");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_malformed() {
    let lost = Err::<Vec<u8>, _>(std::io::Error::other("gone"));
    let broken = Body::from_stream(futures_util::stream::iter([Ok(vec![1]), lost]));
    let expected = "400 malformed_request: the body broke off: gone";
    check(post("", "image/gif", broken), expected).await;
}
