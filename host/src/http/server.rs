//! The server loop: accepts connections within bounds, and lets those in flight end when it stops.
//! Knows nothing of what is served.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::linger::Lingering;
use super::stats::EdgeStats;

/// How long to wait when the system has no descriptor left for a connection.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long calls that were cancelled may take to be answered.
const CANCELLED_WITHIN: Duration = Duration::from_millis(500);

/// How long connections may take to hear that they are over.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(1);

/// How long a client may take, when the server stops, to read the rest of an answer that would never have ended.
const ENDLESS_WITHIN: Duration = Duration::from_millis(500);

/// Marks an answer, by its extensions, as one that ends when the server stops, and not before. It then ends of itself,
/// but a client that does not read keeps it from being sent: no stop waits for that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// What clients may ask of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// How long the head of a request may take, and a connection may be idle.
    pub header_timeout: Duration,
    /// The most bytes of a head.
    pub max_head: usize,
    /// The most connections at a time; others wait to be accepted.
    pub connections: usize,
    /// How long a stop waits for requests in flight.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            max_head: 32 << 10,
            connections: 1024,
            drain: Duration::from_secs(30),
        }
    }
}

/// When the server ends, and what is done then with what does not.
pub struct Shutdown<F, C> {
    /// Until the server is asked to stop.
    pub asked: F,
    /// Cancels the requests in flight whose time is over.
    pub cancel: C,
}

/// What connections hear of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Go on.
    Serving,
    /// End with the request that is in flight.
    Draining,
    /// End.
    Over,
}

#[derive(Clone)]
struct Server {
    router: Router,
    limits: ServerLimits,
    phases: watch::Receiver<Phase>,
    places: Arc<Semaphore>,
    stats: Arc<EdgeStats>,
}

/// Serves `router` until `shutdown`, and returns when no connection is left or the time for that is
/// over. Connections run in tasks of `tasks`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    shutdown: Shutdown<impl Future<Output = ()>, impl FnOnce()>,
    stats: Arc<EdgeStats>,
    tasks: &TaskTracker,
) {
    let (phase, phases) = watch::channel(Phase::Serving);
    let places = Arc::new(Semaphore::new(limits.connections));
    let server = Server {
        router,
        limits,
        phases,
        places: Arc::clone(&places),
        stats,
    };
    tokio::select! {
        () = accept_all(&listener, &server, tasks) => {}
        () = shutdown.asked => {}
    }
    drop(listener);
    phase.send_replace(Phase::Draining);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let within = |time| tokio::time::timeout(time, places.acquire_many(all));
    if within(limits.drain).await.is_ok() {
        return;
    }
    (shutdown.cancel)();
    if within(CANCELLED_WITHIN).await.is_err() {
        let cut = limits.connections - places.available_permits();
        warn!(
            connections = cut,
            "requests in flight did not end in time and are cut off"
        );
        phase.send_replace(Phase::Over);
        // Code that blocks its thread cannot be cut off, and is not waited for.
        let _ = within(CUT_OFF_WITHIN).await;
    }
}

/// Never ends: what keeps one connection from being accepted says nothing of the next.
async fn accept_all(listener: &TcpListener, server: &Server, tasks: &TaskTracker) {
    loop {
        let place = Arc::clone(&server.places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore of a server");
        match listener.accept().await {
            Ok((stream, peer)) => {
                tasks.spawn(carry(stream, peer, server.clone(), place));
            }
            Err(error) if is_of_one_connection(&error) => debug!(%error, "connection lost"),
            Err(error) => {
                warn!(%error, "cannot accept connections, trying again");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Carries one connection to its end.
async fn carry(stream: TcpStream, peer: SocketAddr, server: Server, _place: OwnedSemaphorePermit) {
    let Server {
        router,
        limits,
        mut phases,
        stats,
        ..
    } = server;
    let _open = stats.accept();
    // Answers are written whole: there is nothing to be gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Lingering::new(stream, phases.clone()));
    let is_endless = AtomicBool::new(false);
    let service = service_fn(async |mut request: Request<Incoming>| {
        // Without it a request counts as come by a socket of this machine.
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.clone().oneshot(request.map(Body::new)).await?;
        let marked = answer.extensions().get::<Endless>().is_some();
        is_endless.store(marked, Ordering::Relaxed);
        Ok::<_, Infallible>(answer)
    });
    let mut connection = pin!(protocol(limits).serve_connection(io, service));
    loop {
        let is_draining = *phases.borrow() == Phase::Draining;
        tokio::select! {
            ended = connection.as_mut() => {
                return ended.unwrap_or_else(|error| debug!(%error, "connection ended badly"));
            }
            () = tokio::time::sleep(ENDLESS_WITHIN), if is_draining && is_endless.load(Ordering::Relaxed) => return,
            told = phases.changed() => match (told, *phases.borrow_and_update()) {
                (Ok(()), Phase::Draining) => connection.as_mut().graceful_shutdown(),
                (Ok(()), Phase::Serving) => {}
                (_, Phase::Over) | (Err(_), _) => return,
            }
        }
    }
}

fn protocol(limits: ServerLimits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.max_head);
    protocol
}
