//! The multipart body: a form with the image as a file.

use std::error::Error;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderValue, header};
use bytes::Bytes;
use futures_util::stream;

use super::body::{Held, Intake};
use super::image::Image;
use super::{Parts, fields};
use crate::call::Payload;
use crate::error::CallError;
use crate::http::Api;
use crate::services::AnalysisService;

const KIND: &str = "form field";
const NAMES: [&str; 4] = ["plugin", "image", "mime_type", "options"];

/// What a form says, whose `Content-Type` has the boundary. It is read as it arrives.
///
/// # Errors
/// `malformed_request` where it is no such form, and all that keeps the body from arriving.
pub(super) async fn receive(
    content_type: HeaderValue,
    body: Body,
    api: &Api,
) -> Result<Parts, CallError> {
    let intake = Intake::open(body, api, |bytes| bytes)?;
    let (held, announced) = (intake.held(), intake.announced());
    let mut form = open(content_type, intake).await?;
    let mut fields = Fields::default();
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        fields
            .take(field, announced, &api.services.analysis)
            .await?;
    }
    drop(form);
    fields.into_parts(&held)
}

/// The form in a body that keeps its own limits.
async fn open(content_type: HeaderValue, intake: Intake) -> Result<Multipart, CallError> {
    let chunks = stream::try_unfold(intake, async |mut intake| {
        let next = intake.next().await?;
        Ok::<_, CallError>(next.map(|chunk| (chunk, intake)))
    });
    let mut request = Request::new(Body::from_stream(chunks));
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
    image: Image,
    mime_type: String,
}

impl Fields {
    async fn take(
        &mut self,
        field: Field<'_>,
        announced: Option<usize>,
        analysis: &AnalysisService,
    ) -> Result<(), CallError> {
        let name = field.name().unwrap_or_default().to_owned();
        match &*name {
            "plugin" => put(&mut self.plugin, &name, text(&name, field).await?),
            "image" => {
                let image = self.space(announced, analysis);
                put(&mut self.image, &name, file(field, image).await?)
            }
            "mime_type" => put(&mut self.mime_type, &name, text(&name, field).await?),
            "options" => put(&mut self.options, &name, text(&name, field).await?),
            other => Err(CallError::malformed(fields::unknown(KIND, other, &NAMES))),
        }
    }

    /// Whose memory the image goes to is known only where the plugin came before it, and how much
    /// that must be only where the body's length is known.
    fn space(&self, announced: Option<usize>, analysis: &AnalysisService) -> Image {
        match (&self.plugin, announced, &self.image) {
            (Some(plugin), Some(bytes), None) => Image::placed(analysis.place(Some(plugin), bytes)),
            _ => Image::Growing(Vec::new()),
        }
    }

    fn into_parts(self, held: &Held) -> Result<Parts, CallError> {
        let (image, declared) = match self.image {
            Some(file) => (file.image.into_payload(), file.mime_type),
            None => (Payload::Heap(Bytes::new()), String::new()),
        };
        let options = fields::options(self.options)?;
        let rest = options.as_ref().map_or(0, |options| options.get().len());
        Ok(Parts {
            plugin: self.plugin,
            held: held.take(image.as_slice().len() + rest),
            image,
            mime_type: self.mime_type.unwrap_or(declared),
            options,
        })
    }
}

fn put<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), CallError> {
    fields::put(place, value, KIND, name).map_err(CallError::malformed)
}

async fn file(mut field: Field<'_>, mut image: Image) -> Result<File, CallError> {
    let mime_type = field.content_type().unwrap_or_default().to_owned();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        image.push(&chunk)?;
    }
    Ok(File { image, mime_type })
}

async fn text(name: &str, field: Field<'_>) -> Result<String, CallError> {
    let bytes = field.bytes().await.map_err(|error| broken(&error))?;
    String::from_utf8(bytes.into())
        .map_err(|_| CallError::malformed(format_args!("{KIND} `{name}` is no UTF-8")))
}

/// What went wrong with the body itself comes through the library's error unharmed.
fn broken(error: &MultipartError) -> CallError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(ours) = found.downcast_ref::<CallError>() {
            return ours.clone();
        }
        cause = found.source();
    }
    CallError::malformed(format_args!("the multipart body: {}", error.body_text()))
}
