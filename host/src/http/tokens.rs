//! The tokens, for those who say who else may: listed, made, taken away.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Api;
use super::answer::Failure;
use crate::access::{self, Access, EditError, New, Role, Token};
use crate::error::CallError;

/// The most bytes of a body that says what a token is to be.
const MAX_BODY: usize = 16 << 10;

/// A list in the contract's form.
#[derive(Serialize)]
struct Page {
    items: Vec<Shown>,
    next_cursor: Option<String>,
}

/// A token in all answers: nothing of its secret, but for the one that has made it.
#[derive(Serialize)]
struct Shown {
    id: String,
    name: String,
    role: Role,
    created_at: String,
    expires_at: Option<String>,
    rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<Token> for Shown {
    fn from(token: Token) -> Self {
        Self {
            created_at: token.created(),
            expires_at: token.expires(),
            id: token.id,
            name: token.name,
            role: token.role,
            rate: token.rate,
            token: None,
        }
    }
}

/// What a token is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    role: Role,
    #[serde(default)]
    expires_in: Option<String>,
    #[serde(default)]
    rate: Option<u32>,
}

/// `GET /v1/tokens`
pub(super) async fn list(State(api): State<Api>) -> Result<Response, Failure> {
    let tokens = beside(&api, |access| match access.path() {
        Some(path) => access::list(path).map_err(EditError::from),
        None => Ok(Vec::new()),
    });
    let items = tokens.await?.into_iter().map(Shown::from).collect();
    let next_cursor = None;
    Ok(Json(Page { items, next_cursor }).into_response())
}

/// `POST /v1/tokens`
pub(super) async fn create(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    check_type(&head.headers)?;
    let new = read(body, api.limits.body_timeout).await?;
    let (token, secret) = beside(&api, move |access| {
        let path = access.path().ok_or_else(no_file)?;
        access::create(path, new)
    })
    .await?;
    let place = HeaderValue::from_str(&format!("/v1/tokens/{}", token.id));
    let place = place.expect("hex digits");
    let mut shown = Shown::from(token);
    shown.token = Some(secret.as_str().to_owned());
    let head = [(header::LOCATION, place)];
    Ok((StatusCode::CREATED, head, Json(shown)).into_response())
}

/// `DELETE /v1/tokens/{id}`
pub(super) async fn revoke(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let token = beside(&api, move |access| {
        let path = access.path().ok_or_else(no_file)?;
        access::revoke(path, &id)
    });
    Ok(Json(Shown::from(token.await?)).into_response())
}

/// Files are read and written where it holds up nobody; what has changed holds before the answer goes.
async fn beside<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&Access) -> Result<T, EditError> + Send + 'static,
) -> Result<T, CallError> {
    let access = Arc::clone(&api.services.access);
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&access);
        access.look();
        done
    });
    let lost = |error| CallError::internal(format!("the tokens were let go of: {error}"));
    done.await.map_err(lost)?.map_err(refused)
}

fn no_file() -> EditError {
    EditError::Unknown("of this host, which keeps none".to_owned())
}

fn refused(error: EditError) -> CallError {
    match error {
        EditError::Unknown(id) => CallError::UnknownToken { id },
        EditError::Name(_) | EditError::Taken(_) | EditError::Expiry(_) => {
            CallError::TokenRefused {
                problem: error.to_string(),
            }
        }
        EditError::File(_) | EditError::Unwritable { .. } | EditError::Random(_) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            CallError::internal(format!("{error}: {}", cause.unwrap_or_default()))
        }
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), CallError> {
    let found = headers.get(header::CONTENT_TYPE);
    let found = found.map_or("", |value| value.to_str().unwrap_or("?"));
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(CallError::UnsupportedToken {
        found: found.escape_default().take(64).collect(),
    })
}

/// serde would not mind a list: it takes one for the fields in the order of our source.
fn wanted(body: &[u8]) -> serde_json::Result<Wanted> {
    let fields: Map<String, Value> = serde_json::from_slice(body)?;
    serde_json::from_value(Value::Object(fields))
}

async fn read(body: Body, limit: Duration) -> Result<New, CallError> {
    let body = tokio::time::timeout(limit, to_bytes(body, MAX_BODY)).await;
    let body = body.map_err(|_| CallError::SlowRequest { limit })?;
    let body = body.map_err(|_| CallError::TooLarge {
        limit: MAX_BODY as u64,
    })?;
    let Wanted {
        name,
        role,
        expires_in,
        rate,
    } = wanted(&body).map_err(CallError::malformed)?;
    let span = |text: String| {
        let span = humantime::parse_duration(&text);
        span.map_err(|_| {
            let found: String = text.escape_debug().take(64).collect();
            CallError::malformed(format_args!(
                "field `expires_in` is `{found}`: send a duration such as \"90d\" or \"12h\""
            ))
        })
    };
    Ok(New {
        name,
        role,
        expires: expires_in.map(span).transpose()?,
        rate,
    })
}
