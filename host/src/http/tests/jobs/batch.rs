//! Many images at a time: what comes of each, and what is refused as a whole.

use super::super::bodies::form;
use super::super::{BUDGET, check};
use super::*;

/// A file by its name, of a type.
fn file(name: &str, mime_type: &str) -> String {
    format!("\"image\"; filename=\"{name}\"\r\nContent-Type: {mime_type}")
}

fn batch(parts: &[(&str, &[u8])]) -> Request<Body> {
    post("/batch", FORM, form(parts))
}

#[tokio::test]
async fn every_image_becomes_a_job_in_its_place() {
    let host = Host::new().await;
    let (first, bad, last) = (
        file("a.gif", "image/gif"),
        file("b.png", "image/png"),
        file("", "image/gif"),
    );
    let parts: [(&str, &[u8]); 6] = [
        (&first, GIF),
        ("plugin", b"copies"),
        (&bad, GIF),
        ("priority", b"low"),
        ("options", b"{}"),
        (&last, GIF),
    ];
    let seen = host.ask(batch(&parts)).await;
    assert_eq!(seen.status, 202, "{}", seen.line());
    let items = seen.body["items"].as_array().unwrap();
    let files: Vec<_> = items.iter().map(|item| &item["file"]).collect();
    assert_eq!(files, ["a.gif", "b.png", "2"]);
    assert_eq!(items[1]["error"]["details"]["code"], "image_mismatch");
    assert!(items[1].get("job").is_none());
    for item in [&items[0], &items[2]] {
        assert!(item.get("error").is_none());
        let job = host.ended(&item["job"]).await;
        assert_eq!(
            (&job["status"], &job["plugin"]),
            (&json!("SUCCESS"), &json!("copies"))
        );
        assert_eq!(job["priority"], "low");
    }
    assert_ne!(items[0]["job"]["id"], items[2]["job"]["id"]);
    assert_eq!(host.services.budget.in_flight(), 0);
}

#[tokio::test]
async fn where_nothing_is_taken_the_first_error_is_the_answer() {
    let host = Host::new().await;
    let (png, empty) = (file("b.png", "image/png"), file("c.gif", "image/gif"));
    host.check(batch(&[(&png, GIF), (&empty, b"")]), "422 image_mismatch: ")
        .await;
    host.check(batch(&[(&empty, b""), (&png, GIF)]), "400 empty_image: ")
        .await;
    let listed = host.ask(get("/v1/jobs")).await;
    assert_eq!(listed.body["items"], json!([]));
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_the_same_jobs() {
    let host = Host::new().await;
    let (first, second) = (file("a", "image/gif"), file("b", "image/gif"));
    let parts: [(&str, &[u8]); 2] = [(&first, GIF), (&second, GIF)];
    let seen = host.check(keyed(batch(&parts), "k"), "202 ").await;
    let again = host.check(keyed(batch(&parts), "k"), "200 ").await;
    for index in [0, 1] {
        let id = |seen: &Seen| seen.body["items"][index]["job"]["id"].clone();
        assert!(id(&seen).is_string());
        assert_eq!(id(&again), id(&seen));
    }
}

#[tokio::test]
async fn a_batch_must_be_a_form_with_images() {
    let empty = "400 malformed_request: the batch is empty: send at least one file";
    check(batch(&[]), empty).await;
    check(batch(&[("plugin", b"echo")]), empty).await;
    for found in ["image/gif", "application/json", "application/xml"] {
        let no_form = format!(
            "415 unsupported_media_type: a batch takes no `{found}`: send multipart/form-data"
        );
        check(post("/batch", found, GIF), &no_form).await;
    }
    let gif = file("a", "image/gif");
    let unknown = "400 malformed_request: unknown form field `imge`, did you mean `image`?";
    check(batch(&[(&gif, GIF), ("imge", GIF)]), unknown).await;
    let twice = "400 malformed_request: duplicate form field `plugin`";
    check(batch(&[("plugin", b"a"), ("plugin", b"a")]), twice).await;
    let query = "400 malformed_request: query parameter `plugin` is for a raw image";
    check(post("/batch?plugin=a", FORM, form(&[(&gif, GIF)])), query).await;
    check(get("/v1/jobs/batch"), "405 method_not_allowed: ").await;
}

#[tokio::test]
async fn a_batch_has_its_bounds() {
    let gif = file("a", "image/gif");
    let many: Vec<(&str, &[u8])> = vec![(&gif, b""); 1001];
    let expected = "400 malformed_request: a batch has at most 1000 images";
    check(batch(&many), expected).await;
    let half = vec![b' '; super::super::MAX_BODY / 2];
    let large: [(&str, &[u8]); 2] = [(&gif, &half), (&gif, &half)];
    check(batch(&large), "413 payload_too_large: ").await;
}

#[tokio::test]
async fn what_is_common_to_a_batch_counts_for_each() {
    let gif = file("a", "image/gif");
    let options = format!("{{\"a\":\"{}\"}}", "x".repeat(BUDGET as usize / 100));
    let mut parts: Vec<(&str, &[u8])> = vec![(&gif, GIF); 100];
    parts.push(("options", options.as_bytes()));
    check(batch(&parts), "429 overloaded: requests of ").await;
}
