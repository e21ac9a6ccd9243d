//! The multipart body: a form with the image as a file.

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderValue, header};
use bytes::Bytes;

use super::{Parts, fields};
use crate::error::CallError;

const KIND: &str = "form field";
const NAMES: [&str; 4] = ["plugin", "image", "mime_type", "options"];

/// What a form says, whose `Content-Type` has the boundary.
///
/// # Errors
/// `malformed_request` where it is no such form.
pub(super) async fn read(content_type: HeaderValue, body: Vec<u8>) -> Result<Parts, CallError> {
    let mut form = open(content_type, body).await?;
    let mut fields = Fields::default();
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        fields.take(field).await?;
    }
    fields.into_parts()
}

/// The form in a body that was read within its limits already.
async fn open(content_type: HeaderValue, body: Vec<u8>) -> Result<Multipart, CallError> {
    let mut request = Request::new(Body::from(body));
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    DefaultBodyLimit::disable().apply(&mut request);
    Multipart::from_request(request, &())
        .await
        .map_err(|rejection| CallError::malformed(rejection.body_text()))
}

#[derive(Default)]
struct Fields {
    plugin: Option<String>,
    image: Option<File>,
    mime_type: Option<String>,
    options: Option<String>,
}

struct File {
    bytes: Bytes,
    mime_type: String,
}

impl Fields {
    async fn take(&mut self, field: Field<'_>) -> Result<(), CallError> {
        let name = field.name().unwrap_or_default().to_owned();
        match &*name {
            "plugin" => put(&mut self.plugin, &name, text(&name, field).await?),
            "image" => put(&mut self.image, &name, file(field).await?),
            "mime_type" => put(&mut self.mime_type, &name, text(&name, field).await?),
            "options" => put(&mut self.options, &name, text(&name, field).await?),
            other => Err(CallError::malformed(fields::unknown(KIND, other, &NAMES))),
        }
    }

    fn into_parts(self) -> Result<Parts, CallError> {
        let (image, declared) = self
            .image
            .map_or_else(Default::default, |file| (file.bytes, file.mime_type));
        Ok(Parts {
            plugin: self.plugin,
            image,
            mime_type: self.mime_type.unwrap_or(declared),
            options: fields::options(self.options)?,
        })
    }
}

fn put<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), CallError> {
    fields::put(place, value, KIND, name).map_err(CallError::malformed)
}

async fn file(field: Field<'_>) -> Result<File, CallError> {
    let mime_type = field.content_type().unwrap_or_default().to_owned();
    let bytes = field.bytes().await.map_err(|error| broken(&error))?;
    Ok(File { bytes, mime_type })
}

async fn text(name: &str, field: Field<'_>) -> Result<String, CallError> {
    let bytes = field.bytes().await.map_err(|error| broken(&error))?;
    String::from_utf8(bytes.into())
        .map_err(|_| CallError::malformed(format_args!("{KIND} `{name}` is no UTF-8")))
}

fn broken(error: &MultipartError) -> CallError {
    CallError::malformed(format_args!("the multipart body: {}", error.body_text()))
}
