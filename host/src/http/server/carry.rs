//! Carries a connection to its end: its requests, its idle times, and what it hears of the server.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming as Arriving;
use hyper::rt::Executor;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::debug;

use super::framing::Framed;
use super::listeners::Incoming;
use super::open::{Opening, Stream};
use super::preface::Version;
use super::pulse::{Outgoing, Pulse};
use super::watch::{Verdict, Watch};
use super::{Phase, Routes, Server, ServerLimits, refusal};
use crate::error::CallError;

/// The most requests of a connection at a time.
const MAX_STREAMS: u32 = 128;
/// How much of a request's body may be on its way, and of those of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The library answers a head by itself, without a word, that is over its limit: so that is some way above ours.
const HEADS_TOLD: usize = 4;
/// What a header counts for besides its bytes (RFC 9113, 6.5.2).
const PER_HEADER: usize = 32;
/// The most requests that a client may have taken back before we knew of them.
const MAX_RESET: usize = 32;

/// Carries one connection to its end.
pub(super) async fn carry(incoming: Incoming, server: Server<impl Routes>) {
    let Server {
        routes,
        limits,
        mut phases,
        stats,
        tasks,
        ..
    } = server;
    let peer = incoming.peer();
    let _open = stats.accept();
    let pulse = Arc::new(Pulse::new(Arc::clone(&stats)));
    let opening = Opening {
        limits,
        phases: phases.clone(),
        pulse: Arc::clone(&pulse),
    };
    let opened = tokio::select! {
        opened = tokio::time::timeout(limits.header_timeout, opening.open(incoming)) => opened,
        _ = phases.wait_for(|phase| *phase != Phase::Serving) => return,
    };
    let (version, stream) = match opened {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return debug!(%error, "connection lost"),
        Err(_) => return stats.time_out(),
    };
    let asked = Asked {
        routes,
        peer,
        pulse,
        max_head: (version == Version::Two).then_some(limits.max_head),
    };
    match version {
        Version::One => carry_one(stream, asked, limits, opening.phases).await,
        Version::Two => carry_two(stream, asked, limits, opening.phases, tasks).await,
    }
}

/// Who is asked for answers, and who asks.
struct Asked<R> {
    routes: R,
    peer: Option<SocketAddr>,
    pulse: Arc<Pulse>,
    /// Where no parser has judged it.
    max_head: Option<usize>,
}

impl<R: Routes> Asked<R> {
    fn answer(
        &self,
        mut request: Request<Arriving>,
    ) -> impl Future<Output = Result<Response<Outgoing>, Infallible>> + Send + use<R> {
        let (routes, running) = (self.routes.clone(), self.pulse.begin());
        // Without it a request counts as come over this machine's socket.
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let too_large = self.max_head.filter(|most| head(&request) > *most);
        if too_large.is_some() {
            self.pulse.stats.refuse();
        }
        async move {
            if let Some(limit) = too_large {
                let limit = limit as u64;
                return Ok(running.answer(refusal::answer(CallError::HeadTooLarge { limit })));
            }
            let answer = routes.oneshot(request.map(Body::new)).await?;
            Ok(running.answer(answer))
        }
    }
}

/// How large the head of a request of HTTP/2 is, as that counts it.
fn head(request: &Request<Arriving>) -> usize {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let pseudo = [
        (":method", request.method().as_str().len()),
        (":scheme", uri.scheme_str().map_or(0, str::len)),
        (
            ":authority",
            uri.authority().map_or(0, |it| it.as_str().len()),
        ),
        (":path", path),
    ];
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + PER_HEADER);
    let pseudo = pseudo
        .iter()
        .map(|(name, value)| name.len() + value + PER_HEADER);
    headers.chain(pseudo).sum()
}

async fn carry_one(
    stream: Stream,
    asked: Asked<impl Routes>,
    limits: ServerLimits,
    phases: watch::Receiver<Phase>,
) {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.max_head);
    let framed = Framed::new(stream, Arc::clone(&asked.pulse), limits.max_head);
    let service = service_fn(|request| asked.answer(request));
    let connection = protocol.serve_connection(TokioIo::new(framed), service);
    let watch = Watch::of_one(Arc::clone(&asked.pulse));
    drive(connection, phases, watch).await;
}

async fn carry_two(
    stream: Stream,
    asked: Asked<impl Routes>,
    limits: ServerLimits,
    phases: watch::Receiver<Phase>,
    tasks: TaskTracker,
) {
    let mut protocol = http2::Builder::new(Tasks(tasks));
    let told = limits.max_head.saturating_mul(HEADS_TOLD);
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(told).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_RESET)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(limits.send_timeout)
        .keep_alive_timeout(limits.send_timeout);
    let watch = Watch::of_two(Arc::clone(&asked.pulse), limits);
    let service = service_fn(move |request| asked.answer(request));
    let connection = protocol.serve_connection(TokioIo::new(stream), service);
    drive(connection, phases, watch).await;
}

async fn drive(connection: impl Carried, mut phases: watch::Receiver<Phase>, mut watch: Watch) {
    let mut connection = pin!(connection);
    loop {
        let phase = *phases.borrow();
        tokio::select! {
            ended = connection.as_mut() => return watch.tell(ended),
            verdict = watch.wait(phase) => match verdict {
                Verdict::EndSoon => connection.as_mut().end_soon(),
                Verdict::Cut => return,
            },
            told = phases.changed() => match (told, *phases.borrow_and_update()) {
                (Ok(()), Phase::Draining) => connection.as_mut().end_soon(),
                (Ok(()), Phase::Serving) => {}
                (_, Phase::Over) | (Err(_), _) => return,
            }
        }
    }
}

/// A connection of either version.
trait Carried: Future<Output = hyper::Result<()>> {
    /// Takes no more requests, and ends with those in flight.
    fn end_soon(self: Pin<&mut Self>);
}

impl<S, B> Carried for http1::Connection<TokioIo<Framed<Stream>>, S>
where
    S: HttpService<Arriving, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn end_soon(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B> Carried for http2::Connection<TokioIo<Stream>, S, Tasks>
where
    S: HttpService<Arriving, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    Tasks: Http2ServerConnExec<S::Future, B>,
{
    fn end_soon(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Where the requests of a connection run beside each other: a stop waits for them.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        self.0.spawn(request);
    }
}
