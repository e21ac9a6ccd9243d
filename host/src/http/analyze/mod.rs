//! `POST /v1/analyze`: three bodies that come down to one request, and the answer to it.

mod base64;
mod body;
mod deadline;
pub(super) mod fields;
mod form;
mod image;
mod json;
mod multipart;
mod query;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::value::RawValue;

use super::Api;
use super::answer::{self, Failure};
use super::request_id::RequestId;
use crate::budget::Reservation;
use crate::call::{Attachment, Payload};
use crate::error::CallError;
use crate::services::{AnalysisRequest, Answer};
use body::Intake;
use form::Form;
use image::Image;
use query::Query;

/// What the three bodies come down to.
struct Parts {
    plugin: Option<String>,
    image: Payload,
    /// Empty where there is none, or none that is text: the chain has the words for that.
    mime_type: String,
    options: Option<Box<RawValue>>,
    held: Option<Reservation>,
}

/// `POST /v1/analyze`
pub(super) async fn analyze(
    State(api): State<Api>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    let deadline = deadline::read(request.headers())?;
    let parts = read(request, &api).await?;
    let request = AnalysisRequest {
        plugin: parts.plugin,
        payload: parts.image,
        mime_type: parts.mime_type,
        options: parts.options,
        request_id: id.text(),
        deadline,
        held: parts.held,
    };
    let answered = api.services.analysis.analyze(request).await?;
    let mut response = answer::json(document(&answered));
    answer::name_job(&mut response, answered.job);
    Ok(response)
}

/// Everything that can be refused before the body is read, is.
async fn read(request: Request, api: &Api) -> Result<Parts, CallError> {
    let (head, body) = request.into_parts();
    let form = Form::of(&head.headers)?;
    body::check_encoding(&head.headers)?;
    let query = query::read(&head.uri)?;
    match form {
        Form::Json => {
            query.refuse_any("a JSON body")?;
            json::receive(body, api).await
        }
        Form::Multipart { content_type } => {
            query.refuse_any("a multipart body")?;
            multipart::receive(content_type, body, api).await
        }
        Form::Raw { mime_type } => raw(query, mime_type, body, api).await,
    }
}

/// A body that is the image itself.
async fn raw(query: Query, mime_type: String, body: Body, api: &Api) -> Result<Parts, CallError> {
    let mut intake = Intake::open(body, api, |bytes| bytes)?;
    let mut image = match intake.announced() {
        None | Some(0) => Image::Growing(Vec::new()),
        Some(bytes) => {
            let plugin = query.plugin.as_deref();
            Image::placed(api.services.analysis.place(plugin, bytes))
        }
    };
    while let Some(chunk) = intake.next().await? {
        image.push(&chunk)?;
    }
    let image = image.into_payload();
    Ok(Parts {
        plugin: query.plugin,
        held: intake.held().take(image.as_slice().len()),
        image,
        mime_type,
        options: query.options,
    })
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
