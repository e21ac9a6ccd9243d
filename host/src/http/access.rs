//! Who sends a request, by its token; whether the route is for such; and what operators see besides. Knows the gate
//! by its answer only.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

pub use crate::access::{Caller, Role};

use super::answer::Inside;
use super::{Api, ROLES};
use crate::access::{Access, Shown};
use crate::error::CallError;

/// What a route asks of who calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// A role, or one that includes it.
    Role(Role),
}

/// Finds out who calls: none where it is nobody that is known.
///
/// # Errors
/// Whatever it shows is no token, or not for this address.
pub(super) async fn identify(
    gate: &Arc<Access>,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Result<Option<Caller>, CallError> {
    let shown = shown(headers);
    if gate.is_due(&shown) {
        let gate = Arc::clone(gate);
        // Whatever becomes of it, those that are known still hold.
        let _ = tokio::task::spawn_blocking(move || gate.look()).await;
    }
    gate.admit(&shown, peer)
}

/// Whether the table of routes admits `caller`. A route that it does not have is for nobody.
///
/// # Errors
/// `unauthorized` for nobody that is known; `missing_role`.
pub(super) fn judge(path: &str, caller: Option<&Caller>) -> Result<(), CallError> {
    let row = ROLES.iter().find(|(known, _)| *known == path);
    let no_row = || CallError::internal(format!("the route `{path}` has no role"));
    let (_, needs) = row.ok_or_else(no_row)?;
    match (needs, caller) {
        (Needs::Nothing, _) => Ok(()),
        (Needs::Role(needed), Some(caller)) if caller.role >= *needed => Ok(()),
        (Needs::Role(needed), Some(caller)) => Err(CallError::MissingRole {
            needed: needed.as_str(),
            found: caller.role.as_str(),
            token: caller.token.clone().unwrap_or_default(),
        }),
        (Needs::Role(_), None) => Err(CallError::Unauthorized {
            problem: "a token is needed here: send `Authorization: Bearer TOKEN` with one that `bulkhead token create` \
                      has made"
                .to_owned(),
        }),
    }
}

/// An address, unless the request came by a socket of this machine.
pub(super) fn peer(request: &Request) -> Option<IpAddr> {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map(|ConnectInfo(peer)| peer.ip())
}

fn shown(headers: &HeaderMap) -> Shown<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Shown::Nothing;
    };
    if values.next().is_some() {
        return Shown::Other("there are two Authorization headers");
    }
    let value = value.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ');
    let (scheme, rest) = value.split_at(space.unwrap_or(value.len()));
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Shown::Other("the Authorization header is of another kind than Bearer");
    }
    Shown::Bearer(rest.trim_ascii())
}

/// Only who has shown a token for it: an answer on tokenless loopback waits for no names of functions. The job's
/// record has them.
pub(super) fn sees_inside(caller: &Caller) -> bool {
    caller.operates() && caller.owner.is_some()
}

/// An error with what only operators see.
pub(super) async fn with_inside(mut answer: Response) -> Response {
    let Some(Inside(envelope)) = answer.extensions_mut().remove() else {
        return answer;
    };
    let text = tokio::task::spawn_blocking(move || serde_json::to_vec(&envelope)).await;
    let Ok(Ok(text)) = text else {
        return answer;
    };
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    *answer.body_mut() = Body::from(text);
    answer
}

/// What a caller hears of itself.
#[derive(Serialize)]
struct Myself<'a> {
    role: Role,
    token: Option<&'a str>,
    needs_token: bool,
}

/// `GET /v1/access`
pub(super) async fn myself(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let myself = Myself {
        role: caller.role,
        token: caller.token.as_deref(),
        needs_token: api.services.access.needs_token(peer(&request)),
    };
    Json(myself).into_response()
}
