//! The status code of every code in the contract's table.

use axum::http::StatusCode;

use crate::error::Code;

/// The status that says the same as `code`, as near as HTTP comes.
pub(super) fn of(code: Code) -> StatusCode {
    match code {
        Code::MalformedRequest | Code::EmptyImage | Code::MissingMimeType => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound | Code::PluginNotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::Expired => StatusCode::GONE,
        Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType | Code::UnsupportedMimeType => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        Code::ImageMismatch | Code::ImageTooLarge | Code::InvalidOptions | Code::InvalidInput => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::RateLimited | Code::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => client_closed_request(),
        Code::Failed | Code::Panic | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::InvalidOutput | Code::Crash | Code::Exited | Code::OutOfMemory | Code::Protocol => {
            StatusCode::BAD_GATEWAY
        }
        Code::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::PluginUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Not registered, but what proxies have long written into their logs for it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).expect("three digits")
}
