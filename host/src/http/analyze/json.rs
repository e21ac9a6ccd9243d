//! The JSON body. What can be borrowed from it is: the image is most of it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Parts, base64, fields};
use crate::error::CallError;

const NAMES: [&str; 4] = ["plugin", "image", "mime_type", "options"];

/// What a body of JSON says.
///
/// # Errors
/// `malformed_request` with line and column.
pub(super) fn read(body: &[u8]) -> Result<Parts, CallError> {
    let fields: Fields<'_> = serde_json::from_slice(body)
        .map_err(|error| CallError::malformed(format_args!("the JSON body: {error}")))?;
    let image = fields.image.flatten().unwrap_or_default();
    let image = base64::decode(&image.0)
        .map_err(|fault| CallError::malformed(format_args!("image is no base64: {fault}")))?;
    let options = fields.options.flatten();
    Ok(Parts {
        plugin: fields.plugin.flatten().map(|plugin| plugin.0.into_owned()),
        image: Bytes::from(image),
        mime_type: fields.mime_type.map(text_or_nothing).unwrap_or_default(),
        options: options.map(RawValue::to_owned),
    })
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
}

impl<'a> Deserialize<'a> for Fields<'a> {
    // Not derived: that takes arrays too, and cannot say which name is the nearest.
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'a> Visitor<'a> for FieldsVisitor {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {}", NAMES.join(", "))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "plugin" => put(&mut fields.plugin, &name, map.next_value()?),
                "image" => put(&mut fields.image, &name, map.next_value()?),
                "mime_type" => put(&mut fields.mime_type, &name, map.next_value()?),
                "options" => put(&mut fields.options, &name, map.next_value()?),
                other => Err(Error::custom(fields::unknown("field", other, &NAMES))),
            }?;
        }
        Ok(fields)
    }
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
