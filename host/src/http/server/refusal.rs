//! Answers to what is no request: nobody is asked, and often there is nothing but the connection to write them to.

use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use tracing::debug;

use super::super::answer::Failure;
use super::super::request_id::{self, RequestId};
use crate::error::CallError;

/// The answer, where the parser goes on.
pub(super) fn answer(error: CallError) -> Response {
    let id = RequestId::of(&HeaderMap::new());
    debug!(request = %id.text(), %error, "what came is no request: refused");
    let mut response = Failure::from(error).into_response();
    let id = HeaderValue::from_str(&id.text()).expect("it is made of what headers take");
    response.headers_mut().insert(request_id::HEADER, id);
    response
}

/// The whole answer, after which the connection is closed.
pub(super) fn written(error: CallError) -> Vec<u8> {
    let id = RequestId::of(&HeaderMap::new());
    debug!(request = %id.text(), %error, "what came is no request: refused");
    let (status, body) = Failure::from(error).written();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}: {}\r\n\
         connection: close\r\n\r\n",
        body.len(),
        request_id::HEADER,
        id.text(),
    );
    [head.as_bytes(), &body].concat()
}
