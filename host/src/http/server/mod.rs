//! The server loop: accepts connections within bounds, and lets those in flight end when it stops.
//! Knows nothing of what is served.

mod carry;
mod framing;
mod linger;
mod listeners;
mod open;
mod preface;
mod pulse;
mod refusal;
#[cfg(unix)]
mod socket;
mod timed;
mod tls;
mod transport;
mod watch;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::sync::watch as phases;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

pub use listeners::{ListenError, Listeners, Places};
pub use tls::{CertificateFiles, Tls, TlsError};

use super::stats::EdgeStats;

/// How long to wait when the system has no descriptor left for a connection.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long calls that were cancelled may take to be answered.
const CANCELLED_WITHIN: Duration = Duration::from_millis(500);

/// How long connections may take to hear that they are over.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(1);

/// Marks an answer, by its extensions, as one that ends when the server stops, and not before. It then ends of itself,
/// but a client that does not read keeps it from being sent: no stop waits for that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// What clients may ask of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// How long the head of a request may take, and a connection may be idle.
    pub header_timeout: Duration,
    /// How long a client may read nothing of its answer.
    pub send_timeout: Duration,
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
            send_timeout: Duration::from_secs(30),
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

/// What answers requests, and never fails to.
pub trait Routes:
    Service<Request, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Routes for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

#[derive(Clone)]
struct Server<R> {
    routes: R,
    limits: ServerLimits,
    phases: phases::Receiver<Phase>,
    places: Arc<Semaphore>,
    stats: Arc<EdgeStats>,
    tasks: TaskTracker,
}

/// Serves `routes` until `shutdown`, and returns when no connection is left or the time for that is
/// over. Connections run in tasks of `tasks`.
pub async fn serve(
    listeners: impl Into<Listeners>,
    routes: impl Routes,
    limits: ServerLimits,
    shutdown: Shutdown<impl Future<Output = ()>, impl FnOnce()>,
    stats: Arc<EdgeStats>,
    tasks: &TaskTracker,
) {
    let listeners = listeners.into();
    let (phase, phases) = phases::channel(Phase::Serving);
    let places = Arc::new(Semaphore::new(limits.connections));
    let server = Server {
        routes,
        limits,
        phases,
        places: Arc::clone(&places),
        stats,
        tasks: tasks.clone(),
    };
    tokio::select! {
        () = accept_all(&listeners, &server) => {}
        () = shutdown.asked => {}
    }
    drop(listeners);
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
async fn accept_all(listeners: &Listeners, server: &Server<impl Routes>) {
    let mut is_failing = false;
    loop {
        let place = Arc::clone(&server.places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore of a server");
        match listeners.accept().await {
            Ok(incoming) => {
                is_failing = false;
                let connection = carry::carry(incoming, server.clone());
                server.tasks.spawn(async move {
                    let _place = place;
                    connection.await;
                });
            }
            Err(error) if is_of_one_connection(&error) => debug!(%error, "connection lost"),
            Err(error) => {
                if !is_failing {
                    warn!(%error, "cannot accept connections, trying again until it works");
                }
                is_failing = true;
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
