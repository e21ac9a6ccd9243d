//! What is known of a request only inside the router: which route it has matched; for whoever stands outside.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access;
use super::answer::Failure;

/// In the extensions of a request: where its route is noted.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(Arc<OnceLock<MatchedPath>>);

impl Noted {
    /// The route as it is written in the router, if there is one for the request.
    pub(super) fn route(&self) -> Option<&str> {
        self.0.get().map(MatchedPath::as_str)
    }
}

/// The innermost layer: notes the route, and lets through whom it is for.
pub(super) async fn enter(path: MatchedPath, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let judged = access::judge(path.as_str(), extensions.get());
    if let Some(noted) = extensions.get::<Noted>() {
        let _ = noted.0.set(path);
    }
    match judged {
        Ok(()) => next.run(request).await,
        Err(refused) => Failure::from(refused).into_response(),
    }
}
