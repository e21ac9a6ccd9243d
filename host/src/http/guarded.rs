//! What stands round all routes, in the order in which a request passes it. One service with one future: a layer of a
//! library's making for each would cost every request several allocations. Knows no route.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use tower::{Service, ServiceExt};

use super::answer::Failure;
use super::held::Held;
use super::{EdgeSettings, HttpLimits, Services, access, compress, edge, headers, origin};
use crate::access::Access;

/// What a request passes before the routes, and its answer behind them.
pub(super) struct Guards {
    watch: edge::Watch,
    gate: Arc<Access>,
    settings: EdgeSettings,
    limits: HttpLimits,
}

impl Guards {
    pub(super) fn of(services: &Services, limits: HttpLimits) -> Self {
        Self {
            watch: edge::Watch::of(services),
            gate: Arc::clone(&services.access),
            settings: services.settings.clone(),
            limits,
        }
    }

    /// These guards round `routes`.
    pub(super) fn round(self, routes: Router) -> Guarded {
        let guards = Arc::new(self);
        Guarded { routes, guards }
    }
}

/// Routes with their guards.
#[derive(Clone)]
pub struct Guarded {
    routes: Router,
    guards: Arc<Guards>,
}

impl Guarded {
    async fn answer(self, request: Request) -> Response {
        let admit = |request| self.admit(request);
        let mut answer = edge::surround(&self.guards.watch, request, admit).await;
        headers::secure(self.guards.limits, answer.headers_mut());
        answer
    }

    async fn admit(&self, request: Request) -> Response {
        let settings = &self.guards.settings;
        if let Err(refused) = origin::check(request.uri(), request.headers(), &settings.names) {
            return Failure::from(refused).into_response();
        }
        if settings.compression && compress::is_asked(request.headers()) {
            return compress::compressed(request, |request| self.route(request)).await;
        }
        self.route(request).await
    }

    async fn route(&self, mut request: Request) -> Response {
        let peer = access::peer(&request);
        let caller = match access::identify(&self.guards.gate, request.headers(), peer).await {
            Ok(caller) => caller,
            Err(refused) => return Failure::from(refused).into_response(),
        };
        let may_see_inside = caller.as_ref().is_some_and(access::sees_inside);
        let held = caller.map(|caller| {
            request.extensions_mut().insert(caller.clone());
            let gate = Arc::clone(&self.guards.gate);
            Held { gate, caller, peer }
        });
        let Ok(answer) = self.routes.clone().oneshot(request).await;
        let answer = match held {
            Some(held) => held.bounds(answer),
            None => answer,
        };
        match may_see_inside {
            true => access::with_inside(answer).await,
            false => answer,
        }
    }
}

impl Service<Request> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let guarded = self.clone();
        Box::pin(async move { Ok(guarded.answer(request).await) })
    }
}
