//! The dashboard's files as answers: each with the tag of its content, so that a browser that has it asks in vain.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::Failure;
use crate::dashboard::{self, Asset, CONTENT_SECURITY_POLICY};
use crate::error::CallError;

/// `GET /`
pub(super) async fn page(headers: HeaderMap) -> Response {
    let mut answer = answer(dashboard::page(), &headers);
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    answer
}

/// `GET /assets/{name}`
pub(super) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let found = dashboard::asset(&name);
    let asset = found.ok_or_else(|| CallError::UnknownRoute {
        path: format!("/assets/{name}"),
    })?;
    Ok(answer(asset, &headers))
}

/// A browser asks every time whether what it has is still right: another build of the host is another page.
fn answer(asset: &'static Asset, asked: &HeaderMap) -> Response {
    let head = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::ETAG, asset.tag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    if has_it(asset, asked) {
        let mut answer = (StatusCode::NOT_MODIFIED, head, Body::empty()).into_response();
        // Of what is not there.
        answer.headers_mut().remove(header::CONTENT_TYPE);
        return answer;
    }
    (head, asset.text).into_response()
}

/// Whether one of the tags that a browser names is this content's. What packs answers on their way makes tags weak.
fn has_it(asset: &Asset, asked: &HeaderMap) -> bool {
    const NAME: HeaderName = header::IF_NONE_MATCH;
    let values = asked.get_all(NAME).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == asset.tag)
}
