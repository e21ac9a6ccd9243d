//! `GET /docs`: the document as a page. Swagger UI lies in the binary; the page is ours, because its own has nothing
//! of our paths, and because nothing may come from elsewhere.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::Config;

use super::answer::Failure;
use crate::error::CallError;

/// What the page may do: scripts are files of ours. Swagger UI writes styles into its elements, and has pictures in
/// its style sheet.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const PAGE: &str = include_str!("docs/page.html");
/// The files of ours, each with its type.
const OWN: [(&str, &str, &str); 2] = [
    ("start.js", "text/javascript", include_str!("docs/start.js")),
    ("page.css", "text/css", include_str!("docs/page.css")),
];
/// Those of Swagger UI that the page has.
const THEIRS: [(&str, &str); 3] = [
    ("swagger-ui-bundle.js", "text/javascript"),
    ("swagger-ui.css", "text/css"),
    ("favicon-32x32.png", "image/png"),
];
/// All that lie beside the page.
pub(super) const FILES: [&str; 5] = [OWN[0].0, OWN[1].0, THEIRS[0].0, THEIRS[1].0, THEIRS[2].0];

/// `GET /docs`
pub(super) async fn page() -> Response {
    let mut page = answer("text/html; charset=utf-8", Body::from(PAGE));
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    page
}

/// `GET /docs/{file}`
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Failure> {
    if let Some((_, mime_type, text)) = OWN.iter().find(|(own, _, _)| *own == name) {
        return Ok(answer(mime_type, Body::from(*text)));
    }
    let theirs = THEIRS.iter().find(|(theirs, _)| *theirs == name);
    let found = theirs.and_then(|(_, mime_type)| Some((mime_type, bytes(&name)?)));
    let unknown = || CallError::UnknownRoute {
        path: format!("/docs/{name}"),
    };
    let (mime_type, bytes) = found.ok_or_else(unknown)?;
    Ok(answer(mime_type, bytes))
}

fn bytes(name: &str) -> Option<Body> {
    let none: [&str; 0] = [];
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::new(none)));
    let file = file.ok().flatten()?;
    Some(match file.bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    })
}

fn answer(mime_type: &str, body: Body) -> Response {
    let mime_type = HeaderValue::from_str(mime_type).expect("types of ours");
    let mut answer = ([(header::CONTENT_TYPE, mime_type)], body).into_response();
    let headers = answer.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    // A host of another version has other files under the same names.
    let fresh = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, fresh);
    answer
}
