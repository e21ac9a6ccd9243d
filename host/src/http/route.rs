//! What is known of a request only inside the router: which route it has matched; for whoever stands outside.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use tower::Service;

use super::access;
use super::answer::Failure;
use crate::error::CallError;

/// In the extensions of a request: where its route is noted.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(Arc<OnceLock<MatchedPath>>);

impl Noted {
    /// The route as it is written in the router, if there is one for the request.
    pub(super) fn route(&self) -> Option<&str> {
        self.0.get().map(MatchedPath::as_str)
    }
}

/// A route that notes that it was matched, and lets through only whom it is for.
#[derive(Clone)]
pub(super) struct Entered<S>(S);

impl<S> Entered<S> {
    pub(super) fn new(route: S) -> Self {
        Self(route)
    }
}

impl<S> Service<Request> for Entered<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match enter(&request) {
            Ok(()) => Either::Right(self.0.call(request)),
            Err(refused) => {
                let answer = Failure::from(refused).into_response();
                Either::Left(ready(Ok(answer)))
            }
        }
    }
}

fn enter(request: &Request) -> Result<(), CallError> {
    let extensions = request.extensions();
    let path = extensions.get::<MatchedPath>();
    let path = path.ok_or_else(|| CallError::internal("a route without a path".to_owned()))?;
    if let Some(noted) = extensions.get::<Noted>() {
        let _ = noted.0.set(path.clone());
    }
    access::judge(path.as_str(), extensions.get())
}
