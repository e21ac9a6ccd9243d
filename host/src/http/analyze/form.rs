//! Which of the three bodies a request has, by its `Content-Type`.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::error::CallError;

/// Structured types that somebody may well send by mistake, and that are no image.
const NO_IMAGE: &[&str] = &[
    "application/x-www-form-urlencoded",
    "application/cbor",
    "application/graphql",
    "application/javascript",
    "application/json-seq",
    "application/jsonl",
    "application/msgpack",
    "application/ndjson",
    "application/toml",
    "application/x-ndjson",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
];

/// The most of a foreign type that is quoted.
const MAX_QUOTE: usize = 100;

/// The form of a body.
#[derive(Debug)]
pub(super) enum Form {
    /// An object with the image in base64.
    Json,
    /// A form with the image as a file.
    Multipart {
        /// The header, for its boundary.
        content_type: HeaderValue,
    },
    /// The image itself.
    Raw {
        /// Its type as it was given; empty for none.
        mime_type: String,
    },
}

impl Form {
    /// The form of the body with these headers.
    ///
    /// # Errors
    /// `unsupported_media_type` for types that can be none of the three; `malformed_request` where
    /// there are two.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, CallError> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let (first, second) = (types.next(), types.next());
        if second.is_some() {
            return Err(CallError::malformed("there are two Content-Type headers"));
        }
        let empty = HeaderValue::from_static("");
        let content_type = first.unwrap_or(&empty);
        let mime_type = String::from_utf8_lossy(content_type.as_bytes()).into_owned();
        let essence = essence(&mime_type);
        if is_json(&essence) {
            return Ok(Self::Json);
        }
        if essence == "multipart/form-data" {
            let content_type = content_type.clone();
            return Ok(Self::Multipart { content_type });
        }
        if is_no_image(&essence) {
            let found = quoted(&essence);
            return Err(CallError::UnsupportedBody { found });
        }
        Ok(Self::Raw { mime_type })
    }

    /// The content type of a body that can be nothing but a form with files.
    ///
    /// # Errors
    /// `unsupported_media_type` for all other types; `malformed_request` where there are two.
    pub(super) fn multipart(headers: &HeaderMap) -> Result<HeaderValue, CallError> {
        let found = match Self::of(headers) {
            Ok(Self::Multipart { content_type }) => return Ok(content_type),
            Ok(Self::Json) => "application/json".to_owned(),
            Ok(Self::Raw { mime_type }) => quoted(&essence(&mime_type)),
            Err(CallError::UnsupportedBody { found }) => found,
            Err(error) => return Err(error),
        };
        Err(CallError::UnsupportedBatch { found })
    }
}

fn quoted(essence: &str) -> String {
    essence.escape_debug().take(MAX_QUOTE).collect()
}

/// `type/subtype` in lower case, without parameters, whether or not that is a MIME type.
fn essence(text: &str) -> String {
    let end = text.find(';').unwrap_or(text.len());
    text[..end].trim().to_ascii_lowercase()
}

fn is_json(essence: &str) -> bool {
    let subtype = essence.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn is_no_image(essence: &str) -> bool {
    let is_markup = |subtype: &str| {
        let suffixes = ["+xml", "+yaml", "+cbor"];
        suffixes.iter().any(|suffix| subtype.ends_with(suffix))
    };
    essence.starts_with("text/")
        || essence.starts_with("multipart/")
        || NO_IMAGE.contains(&essence)
        || essence.strip_prefix("application/").is_some_and(is_markup)
}
