//! Answers to what is no request: nobody is asked, and there is nothing but the connection to write them to.

use axum::http::HeaderMap;
use tracing::debug;

use super::super::answer::Failure;
use super::super::request_id::{self, RequestId};
use crate::error::CallError;

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
