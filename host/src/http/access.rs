//! Who sends a request, by its token; whether the route is for such; and what operators see besides. Knows the gate
//! by its answer only.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

pub use crate::access::{Caller, Role};

use super::answer::{Failure, Inside};
use super::held::Held;
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

/// Finds out who calls: a [`Caller`] in the request's extensions, none where it is nobody that is known.
pub(super) async fn identify(
    State(gate): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (shown, peer) = (shown(request.headers()), peer(&request));
    if gate.is_due(&shown) {
        let gate = Arc::clone(&gate);
        // Whatever becomes of it, those that are known still hold.
        let _ = tokio::task::spawn_blocking(move || gate.look()).await;
    }
    let caller = match gate.admit(&shown, peer) {
        Ok(caller) => caller,
        Err(refused) => return Failure::from(refused).into_response(),
    };
    let may_see_inside = caller.as_ref().is_some_and(sees_inside);
    let held = caller.clone().map(|caller| Held { gate, caller, peer });
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let answer = next.run(request).await;
    let answer = match held {
        Some(held) => held.bounds(answer),
        None => answer,
    };
    if may_see_inside {
        return with_inside(answer).await;
    }
    answer
}

/// Lets through whom the table of routes admits.
pub(super) async fn permit(path: MatchedPath, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    match judge(path.as_str(), caller) {
        Ok(()) => next.run(request).await,
        Err(refused) => Failure::from(refused).into_response(),
    }
}

/// A route that the table does not have is for nobody.
fn judge(path: &str, caller: Option<&Caller>) -> Result<(), CallError> {
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
fn peer(request: &Request) -> Option<IpAddr> {
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
fn sees_inside(caller: &Caller) -> bool {
    caller.operates() && caller.owner.is_some()
}

/// An error with what only operators see.
async fn with_inside(mut answer: Response) -> Response {
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
