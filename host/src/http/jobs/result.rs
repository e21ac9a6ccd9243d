//! What a job has brought, as bytes: the plugin's own JSON, and what lies beside it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use uuid::Uuid;

use super::super::Api;
use super::super::access::Caller;
use super::super::answer::Failure;
use super::record;
use crate::call::{Kept, Payload};
use crate::error::CallError;

/// For a type that cannot be said in a header.
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Shown all the same, it loads nothing, runs nothing, and is of no origin.
const SHUT_IN: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// `GET /v1/jobs/{id}/result`
pub(in crate::http) async fn result(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let jobs = &api.services.jobs;
    let record = jobs.look_up(&id, caller.sees()).await?;
    let none = || CallError::NoResult {
        id: record.id.to_string(),
        status: record.status.as_str(),
    };
    let json = jobs.result_of(&record).await?.ok_or_else(none)?;
    if json.as_slice().len() <= record::LARGEST_INSIDE {
        // Larger ones lie under their digest.
        record::raw(record.id, json.as_slice())?;
    }
    let json_type = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json_type)], body(json)).into_response())
}

/// `GET /v1/jobs/{id}/attachments/{name}`
///
/// Whatever a plugin has made, no browser is to run it as if it were a page of ours.
pub(in crate::http) async fn attachment(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let jobs = &api.services.jobs;
    let record = jobs.look_up(&id, caller.sees()).await?;
    let (attachment, bytes) = jobs.attachment_of(&record, &name).await?;
    let mime_type = HeaderValue::from_str(&attachment.mime_type).unwrap_or(BINARY);
    let saved_as = format!("attachment; filename*=UTF-8''{}", encoded(&attachment.name));
    let saved_as = HeaderValue::from_str(&saved_as).expect("percents, letters and digits");
    let nosniff = HeaderValue::from_static("nosniff");
    let head = [
        (header::CONTENT_TYPE, mime_type),
        (header::CONTENT_DISPOSITION, saved_as),
        (header::X_CONTENT_TYPE_OPTIONS, nosniff),
        (header::CONTENT_SECURITY_POLICY, SHUT_IN),
    ];
    Ok((head, body(bytes)).into_response())
}

/// Where a job's result is.
pub(super) fn url(job: Uuid) -> String {
    format!("/v1/jobs/{job}/result")
}

/// Where an attachment of a job is.
pub(super) fn attachment_url(job: Uuid, name: &str) -> String {
    format!("/v1/jobs/{job}/attachments/{}", encoded(name))
}

/// A name that may stand in a path as well as in a header (RFC 3986 and 8187).
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The bytes where they are: none is copied.
fn body(payload: Payload) -> Body {
    Body::from(match payload {
        Payload::Heap(bytes) => bytes,
        Payload::Slot(kept) => Bytes::from_owner(Owned(kept)),
    })
}

struct Owned(Arc<dyn Kept>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_a_path_and_a_header() {
        assert_eq!(encoded("mask-1_a.png~"), "mask-1_a.png~");
        assert_eq!(encoded("a \"b\"/c;d%"), "a%20%22b%22%2Fc%3Bd%25");
        assert_eq!(encoded("\u{e9}\r\n"), "%C3%A9%0D%0A");
        let url = attachment_url(Uuid::nil(), "a b");
        assert!(url.ends_with("-000000000000/attachments/a%20b"), "{url}");
    }
}
