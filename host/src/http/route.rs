//! What is known of a request only inside the router: which route it has matched; for whoever stands outside.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

/// In the extensions of a request: where its route is noted.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(Arc<OnceLock<MatchedPath>>);

impl Noted {
    /// The route as it is written in the router, if there is one for the request.
    pub(super) fn route(&self) -> Option<&str> {
        self.0.get().map(MatchedPath::as_str)
    }
}

/// The innermost layer: notes the route.
pub(super) async fn note(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(matched), Some(path)) = (extensions.get::<Noted>(), extensions.get()) {
        let _ = matched.0.set(MatchedPath::clone(path));
    }
    next.run(request).await
}
