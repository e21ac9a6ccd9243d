//! A client of HTTP/2, for tests.

use std::future::poll_fn;
use std::pin::Pin;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// A connection, and the task that carries it.
pub struct Http2 {
    sender: SendRequest<String>,
    /// Ends with the connection.
    pub carried: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    /// Speaks HTTP/2 on a stream without being asked whether it may.
    pub async fn on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let carried = tokio::spawn(connection);
        Self { sender, carried }
    }

    /// Sends a request; its answer is not read.
    pub async fn send(&self, request: Request<String>) -> Response<Incoming> {
        let mut sender = self.sender.clone();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        answer
    }

    /// The status of an answer, and what it says.
    pub async fn ask(&self, request: Request<String>) -> (u16, Value) {
        let answer = self.send(request).await;
        let id = answer.headers().get("x-request-id");
        assert!(id.is_some(), "{answer:?}");
        let (status, mut body) = (answer.status().as_u16(), answer.into_body());
        let mut bytes = Vec::new();
        while let Some(frame) = frame(&mut body).await {
            bytes.extend_from_slice(&frame);
        }
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

/// The next bytes of a body; nothing at its end.
pub async fn frame(body: &mut Incoming) -> Option<bytes::Bytes> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.unwrap().into_data().unwrap_or_default())
}

/// A request without a body.
pub fn get(uri: &str) -> Request<String> {
    let uri: Uri = uri.parse().unwrap();
    Request::get(uri).body(String::new()).unwrap()
}
