//! The JSON body. What can be borrowed from it is: the image is most of it.

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use bytes::Bytes;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::body::{Held, Intake};
use super::purpose::{Purpose, Wishes};
use super::{Parts, base64, fields};
use crate::call::{HeapPlace, Payload, Place};
use crate::error::CallError;
use crate::http::Api;

/// Bodies larger than this are read off the threads that carry connections: a call beside it would
/// wait for milliseconds.
const LARGE: usize = 4 << 20;

/// The text, and the image that is decoded from it.
fn weigh(bytes: u64) -> u64 {
    bytes + bytes / 4 * 3
}

/// What a body of JSON says.
///
/// # Errors
/// `malformed_request` with line and column, and all that keeps the body from arriving.
pub(super) async fn receive(purpose: Purpose, body: Body, api: &Api) -> Result<Parts, CallError> {
    let mut intake = Intake::open(body, api, weigh)?;
    let (body, held) = (intake.whole().await?, intake.held());
    drop(intake);
    if body.len() <= LARGE {
        return read(purpose, &body, &held, api);
    }
    let api = api.clone();
    // What is held goes along: a caller that hangs up does not free the memory at once.
    let reading = tokio::task::spawn_blocking(move || read(purpose, &body, &held, &api));
    reading
        .await
        .unwrap_or_else(|lost| Err(CallError::internal(format!("reading the body: {lost}"))))
}

fn read(purpose: Purpose, body: &[u8], held: &Held, api: &Api) -> Result<Parts, CallError> {
    let fields = Fields::read(purpose, body)
        .map_err(|error| CallError::malformed(format_args!("the JSON body: {error}")))?;
    let plugin = fields.plugin.flatten().map(|plugin| plugin.0.into_owned());
    let image = fields.image.flatten().unwrap_or_default();
    let image = decode(&image.0, |bytes| {
        purpose.memory(api, plugin.as_deref(), bytes)
    })
    .map_err(|fault| CallError::malformed(format_args!("image is no base64: {fault}")))?;
    let options = fields.options.flatten();
    let held = held.take(image.as_slice().len() + options.map_or(0, |it| it.get().len()));
    Ok(Parts {
        plugin,
        image,
        mime_type: fields.mime_type.map(text_or_nothing).unwrap_or_default(),
        options: options.map(RawValue::to_owned),
        wishes: fields.wishes,
        held,
    })
}

/// Decodes straight into the place that there is for so many bytes.
fn decode(
    text: &str,
    place: impl FnOnce(usize) -> Option<Box<dyn Place>>,
) -> Result<Payload, String> {
    let length = base64::decoded_length(text)?;
    if length == 0 {
        return Ok(Payload::Heap(Bytes::new()));
    }
    let place = place(length);
    let mut place = place.unwrap_or_else(|| Box::new(HeapPlace::new(length)));
    base64::decode(text, place.bytes_mut())?;
    Ok(Payload::Slot(place.keep(length)))
}

/// The text, or an empty one where the value is no text at all.
fn text_or_nothing(value: &RawValue) -> String {
    let text: Result<Text<'_>, _> = serde_json::from_str(value.get());
    text.map(|text| text.0.into_owned()).unwrap_or_default()
}

/// The object's fields; the outer option says whether one is there, the inner whether it is null.
#[derive(Default)]
struct Fields<'a> {
    plugin: Option<Option<Text<'a>>>,
    image: Option<Option<Text<'a>>>,
    mime_type: Option<&'a RawValue>,
    options: Option<Option<&'a RawValue>>,
    wishes: Wishes,
}

impl<'a> Fields<'a> {
    // Not derived: that takes arrays too, and cannot say which name is the nearest.
    fn read(purpose: Purpose, body: &'a [u8]) -> serde_json::Result<Self> {
        let mut body = serde_json::Deserializer::from_slice(body);
        let fields = body.deserialize_map(FieldsVisitor(purpose))?;
        body.end().map(|()| fields)
    }
}

struct FieldsVisitor(Purpose);

impl<'a> Visitor<'a> for FieldsVisitor {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {}", self.0.fields().join(", "))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "plugin" => put(&mut fields.plugin, &name, map.next_value()?),
                "image" => put(&mut fields.image, &name, map.next_value()?),
                "mime_type" => put(&mut fields.mime_type, &name, map.next_value()?),
                "options" => put(&mut fields.options, &name, map.next_value()?),
                other => match self.0.place(&mut fields.wishes, other) {
                    Some((place, name)) => match wish(name, &mut map)? {
                        Some(text) => put(place, name, text),
                        None => Ok(()),
                    },
                    None => Err(Error::custom(self.0.unknown_field("field", other))),
                },
            }?;
        }
        Ok(fields)
    }
}

/// A number as its digits, whatever else as text; `null` counts as none.
fn wish<'a, A: MapAccess<'a>>(name: &str, map: &mut A) -> Result<Option<String>, A::Error> {
    if name == "max_attempts" {
        let number: Option<&RawValue> = map.next_value()?;
        return Ok(number.map(|number| number.get().to_owned()));
    }
    let text: Option<Text<'_>> = map.next_value()?;
    Ok(text.map(|text| text.0.into_owned()))
}

fn put<T, E: Error>(place: &mut Option<T>, name: &str, value: T) -> Result<(), E> {
    fields::put(place, value, "field", name).map_err(E::custom)
}

/// A string, borrowed unless it has escapes. (`Cow` by itself never borrows.)
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Text<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'a> Visitor<'a> for TextVisitor {
    type Value = Text<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Text<'a>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'a>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}
