//! The body of a batch: a form with several images, and fields that are common to all. It is read as it arrives.

use axum::extract::Request;

use super::body::{self, Intake};
use super::form::Form;
use super::image::Image;
use super::multipart::{self, Fields, File, IMAGE};
use super::purpose::{Purpose, Wishes};
use super::{Parts, fields, query};
use crate::error::CallError;
use crate::http::Api;

/// The most images of one batch.
pub(in crate::http) const MAX_IMAGES: usize = 1000;

/// What a batch comes down to.
pub(in crate::http) struct Batch {
    /// Each with the name of its file.
    pub(in crate::http) items: Vec<(String, Parts)>,
    /// Common to all.
    pub(in crate::http) wishes: Wishes,
}

/// Reads a batch.
///
/// # Errors
/// `unsupported_media_type` where it is no form, `malformed_request` where it is another one, and all that keeps the body from arriving.
pub(in crate::http) async fn read(request: Request, api: &Api) -> Result<Batch, CallError> {
    let (head, body) = request.into_parts();
    let content_type = Form::multipart(&head.headers)?;
    body::check_encoding(&head.headers)?;
    query::read(Purpose::Job, &head.uri)?.refuse_any("a multipart body")?;
    let intake = Intake::open(body, api, |bytes| bytes)?;
    let held = intake.held();
    let mut form = multipart::open(content_type, intake).await?;
    let (mut fields, mut files) = (Fields::of(Purpose::Job), Vec::new());
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| multipart::broken(&error))?
    {
        if field.name() != Some(IMAGE) {
            fields.take(field).await?;
            continue;
        }
        if files.len() == MAX_IMAGES {
            let problem = format!("a batch has at most {MAX_IMAGES} images");
            return Err(CallError::malformed(problem));
        }
        files.push(multipart::file(field, Image::Growing(Vec::new())).await?);
    }
    drop(form);
    into_batch(fields, files, &held)
}

fn into_batch(fields: Fields, files: Vec<File>, held: &body::Held) -> Result<Batch, CallError> {
    if files.is_empty() {
        let problem = "the batch is empty: send at least one file in a form field called `image`";
        return Err(CallError::malformed(problem));
    }
    let options = fields::options(fields.options)?;
    // What is common to all is copied for each.
    let texts = [&fields.plugin, &fields.mime_type].into_iter().flatten();
    let common = texts.map(String::len).sum::<usize>()
        + options.as_ref().map_or(0, |options| options.get().len());
    held.grow((common * (files.len() - 1)) as u64)?;
    let mut held = held.take(usize::MAX);
    let items = files.into_iter().enumerate().map(|(index, file)| {
        let image = file.image.into_payload();
        let bytes = (image.as_slice().len() + common) as u64;
        let parts = Parts {
            plugin: fields.plugin.clone(),
            mime_type: fields.mime_type.clone().unwrap_or(file.mime_type),
            options: options.clone(),
            held: held.as_mut().map(|held| held.split_off(bytes)),
            image,
            wishes: Wishes::default(),
        };
        let name = file.name.filter(|name| !name.is_empty());
        (name.unwrap_or_else(|| index.to_string()), parts)
    });
    Ok(Batch {
        items: items.collect(),
        wishes: fields.wishes,
    })
}
