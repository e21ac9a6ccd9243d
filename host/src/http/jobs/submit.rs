//! `POST /v1/jobs`: one image, kept as a job.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::super::Api;
use super::super::access::Caller;
use super::super::analyze::{self, Purpose, deadline};
use super::super::answer::{self, Failure};
use super::super::request_id::RequestId;
use super::record::View;
use super::terms;
use crate::error::CallError;

/// `POST /v1/jobs`
pub(in crate::http) async fn submit(
    State(api): State<Api>,
    Extension(id): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Failure> {
    let deadline = deadline::read(request.headers())?;
    let key = terms::idempotency_key(request.headers())?;
    let mut parts = analyze::read(Purpose::Job, request, &api).await?;
    let terms = terms::read(std::mem::take(&mut parts.wishes), key, &caller)?;
    let request = parts.into_request(&id, &caller, deadline);
    let submitted = api.services.analysis.submit(vec![request], terms).await?;
    let submitted = submitted.into_iter().next();
    let submitted = submitted.ok_or_else(no_answer)??;
    let job = submitted.record.id;
    let document = Json(View::now(&api, &caller).whole(&submitted.record)?);
    let mut response = (taken(submitted.is_new), document).into_response();
    answer::name_job(&mut response, job);
    let place = HeaderValue::from_str(&format!("/v1/jobs/{job}"));
    let place = place.expect("hex digits and dashes");
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

/// A service that says nothing of a job is at fault.
pub(super) fn no_answer() -> CallError {
    CallError::internal("the service has not said what became of a job".to_owned())
}

/// What is there already is not taken once more.
pub(super) fn taken(is_new: bool) -> StatusCode {
    if is_new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    }
}
