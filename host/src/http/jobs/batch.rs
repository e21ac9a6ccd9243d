//! `POST /v1/jobs/batch`: many images on the same terms, each a job of its own.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::super::Api;
use super::super::access::Caller;
use super::super::analyze::{batch, deadline};
use super::super::answer::Failure;
use super::super::request_id::RequestId;
use super::record::{Job, View};
use super::{submit, terms};
use crate::envelope::{self, Envelope};
use crate::services::Submitted;

/// What came of each image.
#[derive(Serialize)]
struct Items<'a> {
    items: Vec<Item<'a>>,
}

/// An image, and the job or the error that came of it.
#[derive(Serialize)]
struct Item<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<envelope::Body>,
}

/// `POST /v1/jobs/batch`
pub(in crate::http) async fn submit_batch(
    State(api): State<Api>,
    Extension(id): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Failure> {
    let deadline = deadline::read(request.headers())?;
    let key = terms::idempotency_key(request.headers())?;
    let batch = batch::read(request, &api).await?;
    let terms = terms::read(batch.wishes, key, &caller)?;
    let (files, parts): (Vec<_>, Vec<_>) = batch.items.into_iter().unzip();
    let requests = parts
        .into_iter()
        .map(|it| it.into_request(&id, &caller, deadline));
    let submitted = api.services.analysis.submit(requests.collect(), terms);
    let submitted = submitted.await?;
    answer(&View::now(&api, &caller), &files, submitted)
}

/// An error of its own only where nothing was taken.
fn answer(
    view: &View,
    files: &[String],
    submitted: Vec<Result<Submitted, Box<Envelope>>>,
) -> Result<Response, Failure> {
    let taken: Vec<_> = submitted.iter().flatten().map(|it| it.is_new).collect();
    if taken.is_empty() {
        let first = submitted.into_iter().find_map(Result::err);
        return Err(first.map_or_else(|| submit::no_answer().into(), Failure::from));
    }
    let is_any_new = taken.contains(&true);
    let items = files.iter().zip(&submitted);
    let items = items.map(|(file, came)| item(view, file, came)).collect();
    Ok((submit::taken(is_any_new), Json(Items { items })).into_response())
}

fn item<'a>(view: &View, file: &'a str, came: &'a Result<Submitted, Box<Envelope>>) -> Item<'a> {
    let told = match came {
        Ok(Submitted { record, .. }) => view
            .whole(record)
            .map_err(|error| Envelope::new(&error, Some(&record.plugin)).error),
        Err(envelope) => Err(envelope.error.clone()),
    };
    let (job, error) = match told {
        Ok(job) => (Some(job), None),
        Err(error) => (None, Some(error)),
    };
    Item { file, job, error }
}
