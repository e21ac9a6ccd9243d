//! The query of a request as names and values, whatever they are.

use axum::extract::Query;
use axum::http::Uri;

use crate::error::CallError;

/// What one of them is called.
pub(super) const KIND: &str = "query parameter";

/// The names and values of the query of `uri`, in their order.
///
/// # Errors
/// `malformed_request` for text that is no UTF-8.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, CallError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|rejection| CallError::malformed(rejection.body_text()))?;
    pairs
        .iter()
        .try_for_each(|(name, value)| check_text(name, value))?;
    Ok(pairs)
}

/// The decoder replaces bytes that are no UTF-8, silently.
fn check_text(name: &str, value: &str) -> Result<(), CallError> {
    if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
        let name: String = name.escape_debug().take(64).collect();
        return Err(CallError::malformed(format!("{KIND} `{name}` is no UTF-8")));
    }
    Ok(())
}
