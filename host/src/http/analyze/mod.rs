//! `POST /v1/analyze`: three bodies that come down to one request, and the answer to it. A job has the same bodies.

mod base64;
pub(super) mod batch;
mod body;
pub(super) mod deadline;
pub(super) mod fields;
mod form;
mod image;
mod json;
mod multipart;
mod purpose;
mod query;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::value::RawValue;

use super::Api;
use super::access::Caller;
use super::answer::{self, Failure};
use super::request_id::RequestId;
use crate::budget::Reservation;
use crate::call::{Attachment, Payload};
use crate::error::CallError;
use crate::services::{AnalysisRequest, Answer};
use body::Intake;
use form::Form;
use image::Image;
pub(super) use purpose::{Purpose, Wishes};
use query::Query;

/// What the three bodies come down to.
pub(super) struct Parts {
    plugin: Option<String>,
    image: Payload,
    /// Empty where there is none, or none that is text: the chain has the words for that.
    mime_type: String,
    options: Option<Box<RawValue>>,
    held: Option<Reservation>,
    /// Empty but for a job.
    pub(super) wishes: Wishes,
}

impl Parts {
    /// The analysis that `caller` asks for, by the request with this id.
    pub(super) fn into_request(
        self,
        id: &RequestId,
        caller: &Caller,
        deadline: Option<Duration>,
    ) -> AnalysisRequest {
        AnalysisRequest {
            plugin: self.plugin,
            payload: self.image,
            mime_type: self.mime_type,
            options: self.options,
            owner: caller.owner.as_deref().map(Arc::from),
            request_id: id.text(),
            trace: id.trace().cloned(),
            deadline,
            held: self.held,
        }
    }
}

/// `POST /v1/analyze`
pub(super) async fn analyze(
    State(api): State<Api>,
    Extension(id): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Failure> {
    fail::fail_point!("http.analyze");
    let deadline = deadline::read(request.headers())?;
    let parts = read(Purpose::Analysis, request, &api).await?;
    let request = parts.into_request(&id, &caller, deadline);
    let answered = api.services.analysis.analyze(request).await?;
    let mut response = answer::json(document(&answered));
    answer::name_job(&mut response, answered.job);
    Ok(response)
}

/// Everything that can be refused before the body is read, is.
pub(super) async fn read(
    purpose: Purpose,
    request: Request,
    api: &Api,
) -> Result<Parts, CallError> {
    let (head, body) = request.into_parts();
    let form = Form::of(&head.headers)?;
    body::check_encoding(&head.headers)?;
    let query = query::read(purpose, &head.uri)?;
    match form {
        Form::Json => {
            query.refuse_any("a JSON body")?;
            json::receive(purpose, body, api).await
        }
        Form::Multipart { content_type } => {
            query.refuse_any("a multipart body")?;
            multipart::receive(purpose, content_type, body, api).await
        }
        Form::Raw { mime_type } => {
            let mut intake = Intake::open(body, api, |bytes| bytes)?;
            let image = space(purpose, &query, intake.announced(), api);
            raw(query, mime_type, image, &mut intake).await
        }
    }
}

/// A body that is the image itself.
async fn raw(
    query: Query,
    mime_type: String,
    mut image: Image,
    intake: &mut Intake,
) -> Result<Parts, CallError> {
    while let Some(chunk) = intake.next().await? {
        image.push(chunk)?;
    }
    let image = image.into_payload();
    Ok(Parts {
        plugin: query.plugin,
        held: intake.held().take(image.as_slice().len()),
        image,
        mime_type,
        options: query.options,
        wishes: query.wishes,
    })
}

/// Where a body goes that is the image itself.
fn space(purpose: Purpose, query: &Query, announced: Option<usize>, api: &Api) -> Image {
    match announced {
        None | Some(0) => Image::Growing(Vec::new()),
        Some(bytes) => Image::announced(bytes, purpose.memory(api, query.plugin.as_deref(), bytes)),
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
