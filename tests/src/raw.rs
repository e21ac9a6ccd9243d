//! Requests as bytes, for what no decent client would send, and answers as they came.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than the daemon may take for anything in a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer of HTTP/1.1, taken apart.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body, which has the length that the head says.
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `STATUS code: message`, or `STATUS`. An error has the form of all errors, and its id.
    pub fn brief(&self) -> String {
        let error = &self.json()["error"];
        if self.status < 400 {
            return self.status.to_string();
        }
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        assert_eq!(error["type"], "ValidationError", "{self:?}");
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let code = text(&error["details"]["code"]);
        format!("{} {code}: {}", self.status, text(&error["message"]))
    }
}

/// A connection with bytes on it.
pub fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(bytes.as_ref()).unwrap();
    client
}

/// Sends bytes, and gives all answers that came before the daemon closed.
pub fn talk(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<RawAnswer> {
    answers(&read(send(address, bytes)))
}

/// What comes until the other side closes, however it does.
pub fn read(mut client: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match client.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&bytes)),
    }
}

/// Takes answers apart that follow each other.
pub fn answers(mut bytes: &[u8]) -> Vec<RawAnswer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = RawAnswer {
            status,
            head,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |it| it.parse().unwrap());
        let body = &bytes[end + 4..];
        answer.body = body[..length].to_vec();
        bytes = &body[length..];
        answers.push(answer);
    }
    answers
}
