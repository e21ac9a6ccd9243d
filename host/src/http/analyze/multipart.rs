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
use super::purpose::{Purpose, Wishes};
use super::{Parts, fields};
use crate::call::Payload;
use crate::error::CallError;
use crate::http::Api;

/// What one of its parts is called.
const KIND: &str = "form field";
/// The field that is a file.
pub(super) const IMAGE: &str = "image";

/// What a form says, whose `Content-Type` has the boundary. It is read as it arrives.
///
/// # Errors
/// `malformed_request` where it is no such form, and all that keeps the body from arriving.
pub(super) async fn receive(
    purpose: Purpose,
    content_type: HeaderValue,
    body: Body,
    api: &Api,
) -> Result<Parts, CallError> {
    let intake = Intake::open(body, api, |bytes| bytes)?;
    let (held, announced) = (intake.held(), intake.announced());
    let mut form = open(content_type, intake).await?;
    let (mut fields, mut image) = (Fields::of(purpose), None);
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        if field.name() == Some(IMAGE) {
            let space = match image {
                None => fields.space(announced, api),
                Some(_) => Image::Growing(Vec::new()),
            };
            put(&mut image, IMAGE, file(field, space).await?)?;
        } else {
            fields.take(field).await?;
        }
    }
    drop(form);
    into_parts(fields, image, &held)
}

/// The form in a body that keeps its own limits.
pub(super) async fn open(
    content_type: HeaderValue,
    intake: Intake,
) -> Result<Multipart, CallError> {
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

/// What a form has beside images.
pub(super) struct Fields {
    purpose: Purpose,
    pub(super) plugin: Option<String>,
    pub(super) mime_type: Option<String>,
    pub(super) options: Option<String>,
    pub(super) wishes: Wishes,
}

/// A file in a form.
pub(super) struct File {
    /// What it is called where it comes from.
    pub(super) name: Option<String>,
    pub(super) image: Image,
    /// As its part says; empty for none.
    pub(super) mime_type: String,
}

impl Fields {
    pub(super) fn of(purpose: Purpose) -> Self {
        Self {
            purpose,
            plugin: None,
            mime_type: None,
            options: None,
            wishes: Wishes::default(),
        }
    }

    /// Takes in a field that is no image.
    ///
    /// # Errors
    /// `malformed_request` for one that is unknown, there twice, or no text.
    pub(super) async fn take(&mut self, field: Field<'_>) -> Result<(), CallError> {
        let name = field.name().unwrap_or_default().to_owned();
        let place = match &*name {
            "plugin" => &mut self.plugin,
            "mime_type" => &mut self.mime_type,
            "options" => &mut self.options,
            other => match self.purpose.place(&mut self.wishes, other) {
                Some((place, _)) => place,
                None => {
                    let problem = self.purpose.unknown_field(KIND, other);
                    return Err(CallError::malformed(problem));
                }
            },
        };
        put(place, &name, text(&name, field).await?)
    }

    /// Whose memory the image goes to is known only where the plugin came before it, and how much
    /// that must be only where the body's length is known.
    fn space(&self, announced: Option<usize>, api: &Api) -> Image {
        let (Some(plugin), Some(bytes)) = (&self.plugin, announced) else {
            return Image::Growing(Vec::new());
        };
        match self.purpose.memory(api, Some(plugin), bytes) {
            // A piece of a form is a piece of what the whole form is in.
            None => Image::Growing(Vec::new()),
            place => Image::announced(bytes, place),
        }
    }
}

fn into_parts(fields: Fields, image: Option<File>, held: &Held) -> Result<Parts, CallError> {
    let (image, declared) = match image {
        Some(file) => (file.image.into_payload(), file.mime_type),
        None => (Payload::Heap(Bytes::new()), String::new()),
    };
    let options = fields::options(fields.options)?;
    let rest = options.as_ref().map_or(0, |options| options.get().len());
    Ok(Parts {
        plugin: fields.plugin,
        held: held.take(image.as_slice().len() + rest),
        image,
        mime_type: fields.mime_type.unwrap_or(declared),
        options,
        wishes: fields.wishes,
    })
}

fn put<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), CallError> {
    fields::put(place, value, KIND, name).map_err(CallError::malformed)
}

/// The file in a field, put together in `image`.
///
/// # Errors
/// `malformed_request`, and all that keeps the body from arriving.
pub(super) async fn file(mut field: Field<'_>, mut image: Image) -> Result<File, CallError> {
    let name = field.file_name().map(str::to_owned);
    let mime_type = field.content_type().unwrap_or_default().to_owned();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        image.push(chunk)?;
    }
    Ok(File {
        name,
        image,
        mime_type,
    })
}

async fn text(name: &str, field: Field<'_>) -> Result<String, CallError> {
    let bytes = field.bytes().await.map_err(|error| broken(&error))?;
    String::from_utf8(bytes.into())
        .map_err(|_| CallError::malformed(format_args!("{KIND} `{name}` is no UTF-8")))
}

/// What went wrong with the body itself comes through the library's error unharmed.
pub(super) fn broken(error: &MultipartError) -> CallError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(ours) = found.downcast_ref::<CallError>() {
            return ours.clone();
        }
        cause = found.source();
    }
    CallError::malformed(format_args!("the multipart body: {}", error.body_text()))
}
