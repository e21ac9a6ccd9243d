//! `POST /v1/analyze`: three bodies that come down to one request, and the answer to it.

mod base64;
mod body;
mod fields;
mod form;
mod json;
mod multipart;
mod query;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::answer::{self, Failure};
use super::request_id::RequestId;
use super::{Api, HttpLimits};
use crate::call::{Attachment, Payload};
use crate::error::CallError;
use crate::services::{AnalysisRequest, Answer};
use form::Form;

/// What the three bodies come down to.
struct Parts {
    plugin: Option<String>,
    image: Bytes,
    /// Empty where there is none, or none that is text: the chain has the words for that.
    mime_type: String,
    options: Option<Box<RawValue>>,
}

/// `POST /v1/analyze`
pub(super) async fn analyze(
    State(api): State<Api>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    let parts = read(request, api.limits).await?;
    let request = parts.into_request(id.text());
    let answered = api.services.analysis.analyze(request).await?;
    let mut response = answer::json(document(&answered));
    answer::name_job(&mut response, answered.job);
    Ok(response)
}

/// Everything that can be refused before the body is read, is.
async fn read(request: Request, limits: HttpLimits) -> Result<Parts, CallError> {
    let (head, body) = request.into_parts();
    let form = Form::of(&head.headers)?;
    body::check_encoding(&head.headers)?;
    let query = query::read(&head.uri)?;
    match form {
        Form::Json => {
            query.refuse_any("a JSON body")?;
            json::read(&body::read(body, limits).await?)
        }
        Form::Multipart { content_type } => {
            query.refuse_any("a multipart body")?;
            multipart::read(content_type, body::read(body, limits).await?).await
        }
        Form::Raw { mime_type } => Ok(Parts {
            plugin: query.plugin,
            image: Bytes::from(body::read(body, limits).await?),
            mime_type,
            options: query.options,
        }),
    }
}

impl Parts {
    fn into_request(self, request_id: Arc<str>) -> AnalysisRequest {
        AnalysisRequest {
            plugin: self.plugin,
            payload: Payload::Heap(self.image),
            mime_type: self.mime_type,
            options: self.options,
            request_id,
            deadline: None,
            held: None,
        }
    }
}

/// The plugin's own bytes with ours around them: nothing is parsed a second time.
fn document(answer: &Answer) -> Vec<u8> {
    let (result, attachments) = (answer.output.json(), &answer.output.attachments);
    let size = |attachment: &Attachment| attachment.data.len() / 3 * 4 + 256;
    let capacity = result.len() + attachments.iter().map(size).sum::<usize>() + 128;
    let mut text = Vec::with_capacity(capacity);
    text.extend_from_slice(br#"{"result":"#);
    text.extend_from_slice(result);
    text.extend_from_slice(br#","plugin":"#);
    quote(answer.plugin.as_str(), &mut text);
    if !attachments.is_empty() {
        text.extend_from_slice(br#","attachments":["#);
        for (index, attachment) in attachments.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            attach(attachment, &mut text);
        }
        text.push(b']');
    }
    text.push(b'}');
    text
}

fn attach(attachment: &Attachment, text: &mut Vec<u8>) {
    text.extend_from_slice(br#"{"name":"#);
    quote(&attachment.name, text);
    text.extend_from_slice(br#","mime_type":"#);
    quote(&attachment.mime_type, text);
    text.extend_from_slice(br#","data":""#);
    base64::encode(&attachment.data, text);
    text.extend_from_slice(br#""}"#);
}

fn quote(value: &str, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("text goes into memory");
}
