//! Somebody who is told, and answers as the test wants.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};

/// What is answered.
#[derive(Clone)]
pub(super) enum Answer {
    /// A status, with these header lines and this body.
    Says(u16, String, String),
    /// A head, and then a body without an end.
    Drones,
    /// Nothing, and the connection stays open.
    Hangs,
    /// Nothing, and the connection is closed.
    Closes,
    /// 200, once so many wait for it.
    Together(Arc<Barrier>),
}

pub(super) fn status(status: u16) -> Answer {
    Answer::Says(status, String::new(), "x".to_owned())
}

/// A request as it came.
pub(super) struct Heard {
    pub(super) line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

pub(super) struct Receiver {
    pub(super) url: String,
    pub(super) heard: mpsc::UnboundedReceiver<Heard>,
    /// The most that were answered at a time.
    pub(super) most: Arc<AtomicUsize>,
}

impl Receiver {
    /// Answers the first with the first, and so on; all that come later with the last.
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let (sender, heard) = mpsc::unbounded_channel();
        let most = Arc::new(AtomicUsize::new(0));
        let (now, seen) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
        tokio::spawn(async move {
            let mut answers = answers.into_iter().peekable();
            let mut last = None;
            while let Ok((stream, _)) = listener.accept().await {
                last = answers.next().or(last);
                let (answer, sender) = (last.clone().unwrap(), sender.clone());
                let (now, seen) = (Arc::clone(&now), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut stream = stream;
                    let request = read(&mut stream).await;
                    seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let _ = sender.send(request);
                    respond(&mut stream, answer, &now).await;
                });
            }
        });
        Self { url, heard, most }
    }
}

async fn respond(stream: &mut TcpStream, answer: Answer, now: &AtomicUsize) {
    let (status, headers, body) = match answer {
        Answer::Says(status, headers, body) => (status, headers, body),
        Answer::Together(barrier) => {
            barrier.wait().await;
            (200, String::new(), String::new())
        }
        Answer::Drones => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            return;
        }
        Answer::Hangs => std::future::pending().await,
        Answer::Closes => return,
    };
    now.fetch_sub(1, Ordering::SeqCst);
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status} Any\r\n{headers}content-length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn read(stream: &mut TcpStream) -> Heard {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a request");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (line, rest) = head.split_once("\r\n").unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    };
    let headers: HashMap<_, _> = rest.lines().map(header).collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "a body");
    }
    Heard {
        line: line.to_owned(),
        headers,
        body,
    }
}
