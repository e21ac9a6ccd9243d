//! The life of a job: submitted, looked at, waited for, listed, ended, run once more.

use super::*;

#[tokio::test]
async fn a_job_is_taken_and_runs() {
    let host = Host::new().await;
    let seen = host.ask(post("?plugin=echo", "image/gif", GIF)).await;
    assert_eq!(seen.status, 202, "{}", seen.line());
    let id = seen.body["id"].as_str().unwrap();
    assert_eq!(seen.headers["x-job-id"], id);
    assert_eq!(seen.headers["location"], format!("/v1/jobs/{id}"));
    let job = host.ended(&seen.body).await;
    assert_eq!(
        (&job["id"], &job["status"]),
        (&json!(id), &json!("SUCCESS"))
    );
    let result = json!({ "bytes": 14, "mime_type": "image/gif", "options": {} });
    assert_eq!(job["result"], result);
    assert_eq!(
        (&job["attempt"], &job["max_attempts"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(job["generation"], "070707070707");
    let digest = crate::jobs::digest_of(GIF).to_string();
    assert_eq!(job["image_sha256"], digest);
    assert!(job["error"].is_null() && job["waiting_for"].is_null());
}

#[tokio::test]
async fn what_can_be_refused_at_once_is() {
    let host = Host::new().await;
    let request = post("?plugin=eko", "image/gif", GIF);
    host.check(request, "404 plugin_not_found: ").await;
    host.check(post("", "image/gif", ""), "400 empty_image: ")
        .await;
    host.check(post("", "image/png", GIF), "422 image_mismatch: ")
        .await;
    let request = post("?callback_url=https%3A%2F%2Fexample.com", "image/gif", GIF);
    host.check(request, "403 forbidden: the callback_url is refused: ")
        .await;
    let listed = host.ask(get("/v1/jobs")).await;
    assert_eq!(listed.body, json!({ "items": [], "next_cursor": null }));
}

#[tokio::test]
async fn the_same_key_is_the_same_job() {
    let host = Host::new().await;
    let ask = async |query: &str| host.ask(keyed(post(query, "image/gif", GIF), "k")).await;
    let first = ask("").await;
    assert_eq!(first.status, 202, "{}", first.line());
    let again = ask("").await;
    assert_eq!(again.status, 200, "{}", again.line());
    assert_eq!(again.body["id"], first.body["id"]);
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(again.headers["x-job-id"], first.headers["x-job-id"]);
    let other = ask("?priority=low").await;
    let expected = "422 invalid_input: the Idempotency-Key `k` was used for another submission";
    assert!(other.line().starts_with(expected), "{}", other.line());
}

#[tokio::test]
async fn a_key_outlives_the_time_that_was_wished_for() {
    let host = Host::new().await;
    let query = "?not_before=1999-01-01T00:00:00Z";
    let request = || keyed(post(query, "image/gif", GIF), "k");
    let first = host.check(request(), "202 ").await;
    host.ended(&first.body).await;
    let again = host.check(request(), "200 ").await;
    assert_eq!(again.body["id"], first.body["id"]);
}

#[tokio::test]
async fn a_job_that_is_cancelled_ends_the_wait_for_it() {
    let host = Host::new().await;
    let job = host.pending().await;
    let wait = host.ask(get(&path(&job, "?wait=60")));
    let (waited, cancelled) = tokio::join!(wait, host.ask(delete(&job)));
    for seen in [&waited, &cancelled] {
        assert_eq!(seen.status, 200, "{}", seen.line());
        assert_eq!(seen.body["status"], "CANCELLED");
        assert_eq!(seen.body["error"]["details"]["code"], "cancelled");
    }
    let again = host.ask(delete(&job)).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &cancelled.body));
}

#[tokio::test]
async fn a_wait_that_is_over_answers_with_the_job_as_it_stands() {
    let host = Host::new().await;
    let job = host.pending().await;
    for wait in ["?wait=0", "?wait=0.01", ""] {
        let seen = host.ask(get(&path(&job, wait))).await;
        assert_eq!((seen.status.as_u16(), &seen.body), (200, &job));
    }
}

#[tokio::test]
async fn a_host_that_stops_lets_nobody_wait() {
    let host = Host::new().await;
    let job = host.pending().await;
    let wait = get(&path(&job, "?wait=60"));
    let began = tokio::time::Instant::now();
    let stop = async { host.services.state.draining() };
    let (seen, ()) = tokio::join!(host.ask(wait), stop);
    assert_eq!((seen.status.as_u16(), &seen.body), (200, &job));
    assert!(
        began.elapsed() < std::time::Duration::from_secs(30),
        "it waited"
    );
}

#[tokio::test]
async fn a_job_that_failed_is_run_once_more() {
    let host = Host::new().await;
    let job = host.submit("?plugin=fails&max_attempts=1").await;
    let failed = host.ended(&job).await;
    assert_eq!(failed["status"], "FAILED");
    assert_eq!(failed["error"]["message"], "on purpose");
    assert!(failed["result"].is_null());
    let seen = host.check(retry(&job), "202 ").await;
    assert_eq!(seen.body["id"], job["id"]);
    assert_eq!(
        (&seen.body["attempt"], &seen.body["finished_at"]),
        (&json!(0), &json!(null))
    );
    let again = host.ended(&job).await;
    assert_eq!(
        (&again["status"], &again["attempt"]),
        (&json!("FAILED"), &json!(1))
    );
    assert_ne!(again["finished_at"], Value::Null);
}

#[tokio::test]
async fn a_job_that_succeeded_is_not_run_once_more() {
    let host = Host::new().await;
    let job = host.submit("").await;
    let ended = host.ended(&job).await;
    let id = job["id"].as_str().unwrap();
    let expected = format!("422 invalid_input: job `{id}` is SUCCESS: only one that is FAILED");
    host.check(retry(&job), &expected).await;
    assert_eq!(host.ended(&job).await, ended);
}

#[tokio::test]
async fn jobs_are_listed_page_by_page() {
    let host = Host::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(host.pending().await["id"].clone());
    }
    ids.reverse();
    let first = host.ask(get("/v1/jobs?limit=2")).await.body;
    let listed = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&first), ids[..2]);
    assert_eq!(first["next_cursor"], ids[1]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = host
        .ask(get(&format!("/v1/jobs?limit=2&cursor={cursor}")))
        .await
        .body;
    assert_eq!(listed(&rest), ids[2..]);
    assert!(rest["next_cursor"].is_null());
    let all = host.ask(get("/v1/jobs")).await.body;
    assert_eq!((listed(&all), &all["next_cursor"]), (ids, &Value::Null));
}

#[tokio::test]
async fn a_list_is_filtered_and_has_no_results() {
    let host = Host::new().await;
    let done = host.ended(&host.submit("?plugin=copies").await).await;
    let waits = host.pending().await;
    let listed = async |query: &str| {
        let seen = host.check(get(&format!("/v1/jobs{query}")), "200 ").await;
        seen.body["items"].clone()
    };
    let mut item = done.clone();
    assert!(item.as_object_mut().unwrap().remove("result").is_some());
    for query in [
        "?status=SUCCESS",
        "?plugin=copies",
        "?kind=job&plugin=copies&limit=1",
    ] {
        assert_eq!(listed(query).await, json!([item]), "{query}");
    }
    let pending = listed("?status=PENDING&kind=all").await;
    assert_eq!(pending.as_array().unwrap().len(), 1);
    assert_eq!(pending[0]["id"], waits["id"]);
    assert_eq!(listed("?status=FAILED").await, json!([]));
    assert_eq!(listed("?plugin=gone").await, json!([]));
    assert_eq!(listed("?kind=analysis").await, json!([]));
    let unknown = "400 malformed_request: query parameter `status` is `DONE`: there are PENDING";
    host.check(get("/v1/jobs?status=DONE"), unknown).await;
}

#[tokio::test]
async fn what_is_no_job_is_not_found_by_any_verb() {
    let host = Host::new().await;
    for id in ["nonsense", "00000000-0000-0000-0000-000000000000"] {
        let no_job = json!({ "id": id });
        let expected = format!("404 not_found: no job `{id}`");
        for rest in ["", "?wait=1", "/events", "/result", "/attachments/a"] {
            host.check(get(&path(&no_job, rest)), &expected).await;
        }
        host.check(delete(&no_job), &expected).await;
        host.check(retry(&no_job), &expected).await;
    }
}

#[tokio::test]
async fn a_store_without_room_refuses_new_jobs_and_keeps_the_others() {
    let host = Host::new().await;
    let job = host.pending().await;
    let large = [GIF, &[0; 60_000]].concat();
    let send = || post("?plugin=echo", "image/gif", large.clone());
    host.store.set_full(true).await;
    host.check(send(), "507 storage_full: ").await;
    assert_eq!(host.ask(get(&path(&job, ""))).await.body, job);
    assert_eq!(host.services.budget.in_flight(), 0);
    host.store.set_full(false).await;
    let taken = host.check(send(), "202 ").await;
    assert_eq!(host.ended(&taken.body).await["status"], "SUCCESS");
}
