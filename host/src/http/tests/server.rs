//! The server loop, through real sockets.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::events::Host;
use super::{MAX_BODY, app};
use crate::events::{Event, Kind};
use crate::http::{EdgeCounts, EdgeStats, Routes, ServerLimits, Shutdown, serve};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

pub(super) struct Server {
    address: SocketAddr,
    stats: Arc<EdgeStats>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

pub(super) async fn start(router: impl Routes, limits: ServerLimits) -> Server {
    start_with(router, limits, || {}).await
}

async fn start_with(
    router: impl Routes,
    limits: ServerLimits,
    cancel: impl FnOnce() + Send + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stats = Arc::<EdgeStats>::default();
    let counted = Arc::clone(&stats);
    let running = tokio::spawn(async move {
        let shutdown = Shutdown {
            asked: async { drop(stopped.await) },
            cancel,
        };
        serve(
            listener,
            router,
            limits,
            shutdown,
            counted,
            &TaskTracker::new(),
        )
        .await;
    });
    Server {
        address,
        stats,
        stop,
        running,
    }
}

impl Server {
    pub(super) async fn send(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(bytes.as_ref()).await.unwrap();
        client
    }

    /// Stops it, and waits until it has.
    pub(super) async fn stopped(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
    }

    /// Sends bytes and reads until the server closes.
    async fn talk(&self, bytes: impl AsRef<[u8]>) -> String {
        read(self.send(bytes).await).await
    }
}

pub(super) async fn read(mut client: TcpStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[track_caller]
fn check(answer: &str, status: &str, words: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{answer}"
    );
    assert!(answer.contains(words), "{answer}");
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_closed() {
    let server = start(app(), ServerLimits::default()).await;
    let close = "Host: localhost\r\nConnection: close\r\n";
    let fine = server.talk(format!("GET /healthz HTTP/1.1\r\n{close}\r\n"));
    check(&fine.await, "200", r#"{"status":"ok"}"#);
    let head = format!("POST /v1/analyze HTTP/1.1\r\nContent-Type: image/gif\r\n{close}");
    let chunk = server.talk(format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"));
    check(&chunk.await, "400", "malformed_request");
    let many = "X-A: b\r\n".repeat(101);
    let heads = server.talk(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"));
    check(&heads.await, "431", "headers_too_large");
    let long = "b".repeat(64 << 10);
    let heads = server.talk(format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {long}\r\n\r\n"
    ));
    check(&heads.await, "431", "headers_too_large");
}

#[tokio::test]
async fn ht_04_a_client_that_is_still_sending_reads_why_it_was_refused() {
    let server = start(app(), ServerLimits::default()).await;
    let length = 32 * MAX_BODY;
    let head = format!(
        "POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/gif\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let mut client = server.send(head).await;
    client.write_all(&vec![0; length]).await.unwrap();
    check(&read(client).await, "413", "payload_too_large");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_server_as_it_was() {
    let server = start(app(), ServerLimits::default()).await;
    let head = "POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/gif\r\n";
    for rest in ["", "\r\n", "Content-Length: 9\r\n\r\nGIF"] {
        drop(server.send(format!("{head}{rest}")).await);
    }
    let close = "Host: localhost\r\nConnection: close\r\n\r\n";
    let two =
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /no HTTP/1.1\r\n{close}");
    let answers = server.talk(two).await;
    check(&answers, "200", "HTTP/1.1 404");
}

#[tokio::test]
async fn ht_01_half_a_head_is_not_waited_for() {
    let limits = ServerLimits {
        header_timeout: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let server = start(app(), limits).await;
    assert_eq!(server.talk(b"GET / HTTP/1.1\r\nHost: loc").await, "");
    assert_eq!(server.talk(b"").await, "");
}

/// Who may do what depends on it.
#[tokio::test]
async fn requests_say_where_they_come_from() {
    let tell = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() });
    let server = start(Router::new().route("/", tell), ServerLimits::default()).await;
    let ask = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let client = server.send(ask).await;
    let peer = client.local_addr().unwrap().to_string();
    check(&read(client).await, "200", &peer);
}

#[tokio::test]
async fn connections_are_counted_by_what_became_of_them() {
    let limits = ServerLimits {
        header_timeout: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let server = start(app(), limits).await;
    let bad = "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n";
    check(&server.talk(bad).await, "400", "malformed_request");
    check(&server.talk("\0\r\n\r\n").await, "400", "malformed_request");
    assert_eq!(server.talk("").await, "");
    assert_eq!(server.talk("GET /").await, "");
    let fine = "GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    check(&server.talk(fine).await, "404", "");
    let stats = Arc::clone(&server.stats);
    server.stopped().await;
    let expected = EdgeCounts {
        open: 0,
        accepted: 5,
        refused: 2,
        timed_out: 2,
    };
    assert_eq!(stats.counts(), expected);
}

#[tokio::test]
async fn a_stop_waits_for_requests_in_flight_and_not_for_idle_connections() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
        get(async move || {
            entered.notify_one();
            go_on.notified().await;
            "done"
        })
    };
    let limits = ServerLimits {
        drain: LONG,
        header_timeout: LONG,
        ..ServerLimits::default()
    };
    let server = start(Router::new().route("/", slow), limits).await;
    let idle = server.send(b"").await;
    let busy = server
        .send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    entered.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(read(idle).await, "");
    TcpStream::connect(server.address).await.unwrap_err();
    go_on.notify_one();
    check(&read(busy).await, "200", "done");
    server.running.await.unwrap();
}

#[tokio::test]
async fn a_stop_cuts_off_what_does_not_end() {
    let entered = Arc::new(Notify::new());
    let stuck = {
        let entered = Arc::clone(&entered);
        get(async move || {
            entered.notify_one();
            pending::<()>().await;
        })
    };
    let limits = ServerLimits {
        drain: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let server = start(Router::new().route("/", stuck), limits).await;
    let client = server
        .send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    entered.notified().await;
    server.stop.send(()).unwrap();
    server.running.await.unwrap();
    assert_eq!(read(client).await, "");
}

#[tokio::test]
async fn what_is_cancelled_when_its_time_is_over_is_still_answered() {
    let (entered, cancelled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, cancelled) = (Arc::clone(&entered), Arc::clone(&cancelled));
        get(async move || {
            entered.notify_one();
            cancelled.notified().await;
            "cancelled"
        })
    };
    let limits = ServerLimits {
        drain: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let router = Router::new().route("/", slow);
    let server = start_with(router, limits, move || cancelled.notify_one()).await;
    let client = server
        .send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    entered.notified().await;
    server.stop.send(()).unwrap();
    check(&read(client).await, "200", "cancelled");
    server.running.await.unwrap();
}

#[tokio::test]
async fn beyond_the_limit_a_connection_waits_for_its_place() {
    let limits = ServerLimits {
        connections: 1,
        ..ServerLimits::default()
    };
    let server = start(app(), limits).await;
    let ask = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    let mut first = server.send(format!("{ask}\r\n")).await;
    let mut some = [0; 12];
    first.read_exact(&mut some).await.unwrap();
    let second = server.send(format!("{ask}Connection: close\r\n\r\n")).await;
    drop(first);
    check(&read(second).await, "200", "ok");
}

const FOLLOW: &str = "GET /v1/events?last_event_id=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Such that a stop that waits for a stream never ends.
pub(super) fn patient() -> ServerLimits {
    ServerLimits {
        drain: LONG,
        header_timeout: LONG,
        ..ServerLimits::default()
    }
}

/// Stops a server as `app` does.
async fn stop(server: Server, host: &Host) {
    host.tell("host_stopping");
    host.state.draining();
    server.stopped().await;
}

#[tokio::test]
async fn a_stop_ends_the_streams_of_events() {
    let host = Host::new();
    let server = start(host.app.clone(), patient()).await;
    let mut client = server.send(FOLLOW).await;
    let mut some = [0; 12];
    client.read_exact(&mut some).await.unwrap();
    host.tell("found");
    stop(server, &host).await;
    let rest = read(client).await;
    let (found, stopping) = (rest.find("event: found"), rest.find("event: host_stopping"));
    assert!(found.is_some() && found < stopping, "{rest}");
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_does_not_read() {
    let host = Host::new();
    // More than the system takes for a client that takes nothing itself.
    let reason = "x".repeat(2000);
    for _ in 0..3500 {
        host.log.tell(Event::of(Kind::Held).reason(&reason));
    }
    let server = start(host.app.clone(), patient()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(server.address).await.unwrap();
    client.write_all(FOLLOW.as_bytes()).await.unwrap();
    let mut some = [0; 12];
    client.read_exact(&mut some).await.unwrap();
    stop(server, &host).await;
    drop(client);
}
