//! Who asks: connections that send one request after the other, and read no more of an answer than they must, so that
//! they cost little beside the server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::server::PLUGIN;

/// How many connections are opened, and what each sends.
pub(crate) struct Clients {
    runtime: Runtime,
    address: SocketAddr,
    connections: usize,
    request: Bytes,
    body: Bytes,
}

/// What came of one turn.
pub(crate) struct Turn {
    pub(crate) took: Vec<Duration>,
    pub(crate) elapsed: Duration,
}

impl Clients {
    pub(crate) fn new(address: SocketAddr, connections: usize, body: &Bytes) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let request = format!(
            "POST /v1/analyze?plugin={PLUGIN} HTTP/1.1\r\nhost: {address}\r\ncontent-type: image/png\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Self {
            runtime,
            address,
            connections,
            request: request.into(),
            body: body.clone(),
        }
    }

    /// Sends for so long, over connections that are there before that; what was begun is ended.
    pub(crate) fn run(&self, time: Duration) -> Turn {
        let connect = async || {
            let stream = TcpStream::connect(self.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        self.runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..self.connections {
                streams.push(connect().await);
            }
            let began = Instant::now();
            let mut clients = JoinSet::new();
            for stream in streams {
                let (request, body) = (self.request.clone(), self.body.clone());
                clients.spawn(call_until(began + time, stream, request, body));
            }
            let took = clients.join_all().await.concat();
            let elapsed = began.elapsed();
            Turn { took, elapsed }
        })
    }
}

async fn call_until(
    end: Instant,
    mut stream: TcpStream,
    request: Bytes,
    body: Bytes,
) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut answer = vec![0; 4096];
    // A small request goes out at once, as clients send it.
    let whole = (body.len() < 4096).then(|| [&request[..], &body].concat());
    loop {
        let began = Instant::now();
        match &whole {
            Some(whole) => stream.write_all(whole).await.unwrap(),
            None => {
                stream.write_all(&request).await.unwrap();
                stream.write_all(&body).await.unwrap();
            }
        }
        read_answer(&mut stream, &mut answer).await;
        let now = Instant::now();
        took.push(now - began);
        if now >= end {
            return took;
        }
    }
}

/// Reads one answer, which must be a good one.
async fn read_answer(stream: &mut TcpStream, answer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut answer[filled..]).await.unwrap();
        assert_ne!(read, 0, "the server has hung up");
        filled += read;
        if let Some(length) = length(&answer[..filled])
            && filled >= length
        {
            assert_eq!(filled, length, "more than one answer");
            return;
        }
    }
}

/// How long the answer is that begins so, if its head is whole.
fn length(answer: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(answer);
    let (head, _) = text.split_once("\r\n\r\n")?;
    assert!(
        head.starts_with("HTTP/1.1 200"),
        "a call has failed: {text}"
    );
    let head = head.to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length: ").expect("a length");
    let digits = rest.split("\r\n").next().unwrap_or_default();
    Some(head.len() + 4 + digits.parse::<usize>().unwrap())
}
