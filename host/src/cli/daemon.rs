//! Requests to a running daemon. Knows HTTP and the form of an error; nothing of what is asked for.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use ureq::http::{HeaderValue, Request, Response, header};
use ureq::middleware::MiddlewareNext;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, BodyReader, SendBody, Timeout};

use super::address::Address;
use super::exit::{Exit, Failure};
use super::trust::{self, Doubt};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take to begin, and its body to arrive: a plugin may have to be opened.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a body may take to be sent: pictures over slow lines are in it.
const SENDING: Duration = Duration::from_secs(600);
/// How many connections are kept for the next request: as many as there can be at a time.
const KEPT: usize = 64;
/// What a daemon answers that is too slow, too busy, not ready, or out of room for now.
const PASSING: [u16; 4] = [408, 429, 503, 507];
/// The most bytes of an answer: schemas are in it.
const MOST: u64 = 64 << 20;

/// A token as a header has it; never shown.
pub(super) struct Bearer(HeaderValue);

impl Bearer {
    /// What stands in a variable or a file; nothing where that cannot be a token.
    pub(super) fn new(token: &str) -> Option<Self> {
        let token = Some(token.trim()).filter(|token| !token.is_empty())?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

/// A daemon, as far as its address says.
pub(super) struct Daemon {
    address: Address,
    agent: Agent,
}

impl Daemon {
    /// Nothing is sent yet. With each request goes `token`, if there is one. Where TLS is spoken, `trusted` say who the
    /// daemon is.
    pub(super) fn at(address: Address, token: Option<Bearer>, trusted: RootCerts) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // What the environment says of proxies is for the way out of here, not for this.
            .proxy(None)
            .tls_config(TlsConfig::builder().root_certs(trusted).build())
            .max_redirects(0)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_send_body(Some(SENDING))
            .timeout_recv_response(Some(ANSWER))
            .timeout_recv_body(Some(ANSWER))
            .max_idle_connections(KEPT)
            .max_idle_connections_per_host(KEPT)
            .middleware(
                move |mut request: Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
                    if let Some(Bearer(token)) = &token {
                        let headers = request.headers_mut();
                        headers.insert(header::AUTHORIZATION, token.clone());
                    }
                    next.handle(request)
                },
            )
            .build();
        let agent = match &address {
            #[cfg(unix)]
            Address::Unix(path) => super::socket::agent(config, path.clone()),
            _ => config.into(),
        };
        Self { address, agent }
    }

    /// Looks something up.
    pub(super) fn get(&self, path: &str) -> Result<Value, DaemonError> {
        self.find(path, &[])
    }

    /// Looks something up that a query describes.
    pub(super) fn find(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, DaemonError> {
        let query = query.iter().copied();
        self.answer(self.agent.get(self.url(path)).query_pairs(query).call())
    }

    /// Looks up what may be large, or no JSON, to be read as it comes.
    pub(super) fn open(&self, path: &str) -> Result<BodyReader<'static>, DaemonError> {
        let response = self.agent.get(self.url(path)).call();
        let response = response.map_err(|error| self.failed(error))?;
        if response.status().is_success() {
            return Ok(response.into_body().into_reader());
        }
        let no_error = || self.stranger("it answered in a form of its own");
        Err(self.answer(Ok(response)).err().unwrap_or_else(no_error))
    }

    /// Has something done.
    pub(super) fn post(&self, path: &str) -> Result<Value, DaemonError> {
        self.answer(self.agent.post(self.url(path)).send_empty())
    }

    /// Has something ended.
    pub(super) fn delete(&self, path: &str) -> Result<Value, DaemonError> {
        self.answer(self.agent.delete(self.url(path)).call())
    }

    /// Sends a body as it is read. Its length must be among the headers.
    pub(super) fn send(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &mut dyn Read,
    ) -> Result<Value, DaemonError> {
        let query = query.iter().copied();
        let request = self.agent.post(self.url(path)).query_pairs(query);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        self.answer(request.send(SendBody::from_reader(body)))
    }

    fn url(&self, path: &str) -> String {
        self.address.base() + path
    }

    /// Says that an answer is not in the form of the contract.
    pub(super) fn stranger(&self, found: impl Into<String>) -> DaemonError {
        let address = self.address.clone();
        let found = found.into();
        DaemonError::Stranger { address, found }
    }

    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> Result<Value, DaemonError> {
        let mut response = response.map_err(|error| self.failed(error))?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.body_mut().with_config().limit(MOST).read_to_vec();
        let body = body.map_err(|error| self.failed(error))?;
        let no_json = |_| self.stranger(format!("it answered {status} with what is no JSON"));
        let answer = serde_json::from_slice(&body).map_err(no_json)?;
        if status.is_success() {
            return Ok(answer);
        }
        match Refused::of(&answer) {
            Some(line) => Err(DaemonError::Refused(Refused {
                line: line + advice(status.as_u16()),
                answer,
                status: status.as_u16(),
                retry_after: retry_after.map(Duration::from_secs),
            })),
            None => Err(self.stranger(format!("it answered {status} in a form of its own"))),
        }
    }

    /// What else the address may be meant to be.
    fn otherwise(&self) -> String {
        let other = self.address.otherwise();
        other.map_or_else(String::new, |other| format!("; is it {other}?"))
    }

    fn failed(&self, error: ureq::Error) -> DaemonError {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
        let address = self.address.clone();
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed => absent(address, &error),
            ureq::Error::Timeout(_) => DaemonError::Silent(address),
            // It was there, and hung up.
            ureq::Error::Io(ref cause)
                if [UnexpectedEof, ConnectionReset, ConnectionAborted].contains(&cause.kind()) =>
            {
                DaemonError::Gone(address)
            }
            ureq::Error::Io(cause) => match trust::doubt(&cause) {
                Some(Doubt::NoTls) => {
                    self.stranger(format!("no TLS is spoken there{}", self.otherwise()))
                }
                Some(Doubt::Refused(problem)) => DaemonError::Untrusted { address, problem },
                None => absent(address, &cause),
            },
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                self.stranger(format!("it does not speak HTTP{}", self.otherwise()))
            }
            ureq::Error::BodyExceedsLimit(_) => self.stranger("its answer has no end"),
            other => self.stranger(other.to_string()),
        }
    }
}

/// What people are to do who were not let in.
fn advice(status: u16) -> &'static str {
    match status {
        401 => {
            "; put the token into BULKHEAD_TOKEN, or into a file that --token-file names (`bulkhead token create`, on \
             the daemon's machine, makes one)"
        }
        403 => "; the token is that of BULKHEAD_TOKEN or --token-file",
        _ => "",
    }
}

fn absent(address: Address, cause: &dyn fmt::Display) -> DaemonError {
    let cause = cause.to_string();
    DaemonError::Absent { address, cause }
}

/// Why a daemon has not done what it was asked for.
#[derive(Debug, Error)]
pub(super) enum DaemonError {
    /// Nobody listens.
    #[error(
        "no daemon at {address}: {cause}; start one with `bulkhead serve`, or name it with --daemon"
    )]
    Absent {
        /// Where it should be.
        address: Address,
        /// What the system said.
        cause: String,
    },
    /// Somebody listens, and says nothing.
    #[error("the daemon at {0} did not answer within {seconds} s: it may still do what it was asked for", seconds = ANSWER.as_secs())]
    Silent(Address),
    /// Somebody listened, and went before an answer was there.
    #[error("what listens at {0} is no bulkhead daemon: it hung up without an answer")]
    Gone(Address),
    /// Somebody else listens.
    #[error("what listens at {address} is no bulkhead daemon: {found}")]
    Stranger {
        /// Where it listens.
        address: Address,
        /// What gave it away.
        found: String,
    },
    /// Somebody listens who does not prove to be it.
    #[error("cannot talk to what listens at {address}: {problem}")]
    Untrusted {
        /// Where it listens.
        address: Address,
        /// What was found, and what to do.
        problem: String,
    },
    /// The daemon has answered with an error.
    #[error("{}", .0.line)]
    Refused(Refused),
}

/// An error that a daemon has answered with.
#[derive(Debug)]
pub(super) struct Refused {
    /// In one line.
    pub(super) line: String,
    /// All that it said.
    pub(super) answer: Value,
    pub(super) status: u16,
    retry_after: Option<Duration>,
}

impl DaemonError {
    /// Whether it may go well a little later: the daemon is not there, or has no room for now.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Absent { .. } | Self::Silent(_) | Self::Gone(_) => true,
            Self::Stranger { .. } | Self::Untrusted { .. } => false,
            Self::Refused(refused) => refused.is_passing(),
        }
    }

    /// When it is worth trying again, if the daemon has said.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            Self::Absent { .. }
            | Self::Silent(_)
            | Self::Gone(_)
            | Self::Stranger { .. }
            | Self::Untrusted { .. } => None,
        }
    }
}

impl Refused {
    /// Whether it may be another answer a little later.
    pub(super) fn is_passing(&self) -> bool {
        PASSING.contains(&self.status)
    }

    /// `MESSAGE (CODE)`, or `MESSAGE (CODE: REASON)` where the message does not say the reason.
    fn of(answer: &Value) -> Option<String> {
        let error = &answer["error"];
        let (message, details) = (error["message"].as_str()?, &error["details"]);
        let code = details["code"].as_str()?;
        let reason = details["reason"].as_str();
        let line = match reason.filter(|reason| !message.contains(reason)) {
            Some(reason) => format!("{message} ({code}: {reason})"),
            None => format!("{message} ({code})"),
        };
        Some(one_line(&line))
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        let exit = match error {
            DaemonError::Refused(_) => Exit::Failed,
            DaemonError::Absent { .. }
            | DaemonError::Silent(_)
            | DaemonError::Gone(_)
            | DaemonError::Stranger { .. }
            | DaemonError::Untrusted { .. } => Exit::Unavailable,
        };
        Self::new(exit, error)
    }
}

/// Text of others, which must not steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A value as people read it; nothing where there is none.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(one_line(text)),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(text).collect();
            Some(items.join(", "))
        }
        other => Some(one_line(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_told_with_its_code_and_reason() {
        let of = |message: &str, details: Value| {
            Refused::of(&json!({ "error": { "message": message, "details": details } }))
        };
        for (message, details, line) in [
            ("gone", json!({ "code": "a" }), Some("gone (a)")),
            (
                "gone",
                json!({ "code": "a", "reason": "b" }),
                Some("gone (a: b)"),
            ),
            (
                "gone: b",
                json!({ "code": "a", "reason": "b" }),
                Some("gone: b (a)"),
            ),
            ("\x1b[2J\n", json!({ "code": "a" }), Some(" [2J  (a)")),
            ("gone", json!({}), None),
        ] {
            assert_eq!(of(message, details).as_deref(), line, "{message:?}");
        }
        assert_eq!(Refused::of(&json!({ "error": "gone" })), None);
        assert_eq!(Refused::of(&json!([])), None);
    }
}
