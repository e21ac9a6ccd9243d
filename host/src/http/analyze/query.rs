//! The query of a request: where a raw image has what the other bodies hold in themselves.

use axum::http::Uri;
use serde_json::value::RawValue;

use super::fields;
use super::purpose::{Purpose, Wishes};
use crate::error::CallError;
use crate::http::query::{self, KIND};

/// What a query says.
#[derive(Default)]
pub(super) struct Query {
    pub(super) plugin: Option<String>,
    pub(super) options: Option<Box<RawValue>>,
    pub(super) wishes: Wishes,
    // The first parameter, as it was called.
    first: Option<&'static str>,
}

/// The query of `uri`.
///
/// # Errors
/// `malformed_request` for a parameter that is unknown, there twice, no UTF-8, or no JSON where it
/// must be.
pub(super) fn read(purpose: Purpose, uri: &Uri) -> Result<Query, CallError> {
    let (mut plugin, mut options, mut first) = (None, None, None);
    let mut wishes = Wishes::default();
    for (name, value) in query::pairs(uri)? {
        let (place, name) = match &*name {
            "plugin" => (&mut plugin, "plugin"),
            "options" => (&mut options, "options"),
            other => {
                let place = purpose.place(&mut wishes, other);
                place.ok_or_else(|| purpose.unknown_parameter(KIND, other))?
            }
        };
        fields::put(place, value, KIND, name).map_err(CallError::malformed)?;
        first = first.or(Some(name));
    }
    let options = fields::options(options)?;
    Ok(Query {
        plugin,
        options,
        wishes,
        first,
    })
}

impl Query {
    /// Refuses what `form`, a body, holds in itself.
    pub(super) fn refuse_any(&self, form: &str) -> Result<(), CallError> {
        self.first.map_or(Ok(()), |name| {
            let problem = format!("{KIND} `{name}` is for a raw image: {form} has `{name}` inside");
            Err(CallError::malformed(problem))
        })
    }
}
