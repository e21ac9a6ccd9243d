//! What a job has brought: the result itself, and what lies beside it.

use axum::body::to_bytes;
use axum::http::HeaderMap;
use bytes::Bytes;

use super::*;

async fn fetched(host: &Host, uri: &str) -> (HeaderMap, Bytes) {
    let (head, body) = host.send(get(uri)).await.into_parts();
    assert_eq!(head.status, 200, "{uri}");
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (head.headers, body)
}

#[tokio::test]
async fn a_result_is_the_plugins_own_bytes() {
    let host = Host::new().await;
    let job = host.ended(&host.submit("?plugin=copies").await).await;
    let (headers, body) = fetched(&host, &path(&job, "/result")).await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(&body[..], b"{ \"as\":\t1.50 }");
}

#[tokio::test]
async fn a_large_result_is_fetched_by_itself() {
    let host = Host::new().await;
    let job = host.ended(&host.submit("?plugin=verbose").await).await;
    assert_eq!(job["status"], "SUCCESS");
    assert!(job.get("result").unwrap().is_null());
    assert_eq!(job["result_url"], path(&job, "/result"));
    let (_, body) = fetched(&host, job["result_url"].as_str().unwrap()).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["text"].as_str().unwrap().len(), 100 << 10);
}

#[tokio::test]
async fn without_a_result_there_is_none_to_fetch() {
    let host = Host::new().await;
    let pending = host.pending().await;
    let failed = host
        .ended(&host.submit("?plugin=fails&max_attempts=1").await)
        .await;
    for (job, status) in [(&pending, "PENDING"), (&failed, "FAILED")] {
        let id = job["id"].as_str().unwrap();
        let expected = format!("404 not_found: job `{id}` has no result: it is {status}");
        host.check(get(&path(job, "/result")), &expected).await;
        let expected = format!("404 not_found: job `{id}` has no attachment `c`");
        host.check(get(&path(job, "/attachments/c")), &expected)
            .await;
    }
}

#[tokio::test]
async fn an_attachment_is_saved_and_not_run() {
    let host = Host::new().await;
    let job = host.ended(&host.submit("?plugin=copies").await).await;
    let attachments = job["attachments"].as_array().unwrap();
    assert_eq!(attachments.len(), 2);
    for (attachment, saved_as) in attachments.iter().zip(["a%20%22b%22", "c"]) {
        let (headers, body) = fetched(&host, attachment["url"].as_str().unwrap()).await;
        assert_eq!(&body[..], GIF);
        assert_eq!(headers["content-type"], "image/gif");
        let disposition = format!("attachment; filename*=UTF-8''{saved_as}");
        assert_eq!(headers["content-disposition"], disposition);
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = &headers["content-security-policy"];
        assert_eq!(policy, "default-src 'none'; sandbox");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
    }
    let id = job["id"].as_str().unwrap();
    let expected = format!("404 not_found: job `{id}` has no attachment `d`");
    host.check(get(&path(&job, "/attachments/d")), &expected)
        .await;
    let no_text = "400 malformed_request: ";
    host.check(get(&path(&job, "/attachments/%ff")), no_text)
        .await;
}

#[tokio::test]
async fn an_analysis_has_what_a_job_has() {
    let host = Host::new().await;
    let request = super::super::post("?plugin=copies", "image/gif", GIF);
    let answer = host.ask(request).await;
    let id = answer.headers["x-job-id"].to_str().unwrap();
    let job = host.ask(get(&format!("/v1/jobs/{id}?wait=1"))).await.body;
    assert_eq!(
        (&job["id"], &job["status"]),
        (&json!(id), &json!("SUCCESS"))
    );
    let (_, body) = fetched(&host, &path(&job, "/result")).await;
    assert_eq!(&body[..], b"{ \"as\":\t1.50 }");
    let (_, body) = fetched(&host, job["attachments"][0]["url"].as_str().unwrap()).await;
    assert_eq!(&body[..], GIF);
    let listed = host.ask(get("/v1/jobs")).await;
    assert_eq!(listed.body["items"], json!([]));
}
