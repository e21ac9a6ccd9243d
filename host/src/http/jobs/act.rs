//! What can be done to a job that is there: end it, or run it once more.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::super::Api;
use super::super::access::Caller;
use super::super::answer::Failure;
use super::record::View;

/// `DELETE /v1/jobs/{id}`
pub(in crate::http) async fn cancel(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let record = api.services.jobs.cancel_job(&id, caller.sees()).await?;
    Ok(Json(View::now(&api, &caller).whole(&record)?).into_response())
}

/// `POST /v1/jobs/{id}/retry`
pub(in crate::http) async fn retry(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let record = api.services.jobs.retry_job(&id, caller.sees()).await?;
    let document = Json(View::now(&api, &caller).whole(&record)?);
    Ok((StatusCode::ACCEPTED, document).into_response())
}
