//! Everything that can go wrong with a call, with its facts. Knows no status codes and no JSON
//! envelope; its codes are the closed list of the contract.

mod code;
mod traceback;

use std::time::Duration;

use serde_json::{Map, Value, json};
use thiserror::Error;

pub use code::{Code, ErrorType};
pub use traceback::Traceback;

/// Why a call gave no result.
#[derive(Clone, Debug, Error)]
pub enum CallError {
    /// The body is not what its content type says.
    #[error("{problem}")]
    Malformed {
        /// What is wrong, and where.
        problem: String,
    },
    /// No image, or none of its bytes.
    #[error("Empty image payload")]
    EmptyImage,
    /// No MIME type, or text that is none.
    #[error("Missing or invalid mime_type")]
    MissingMimeType,
    /// A request that a page of another origin sent.
    #[error("requests with the {header} `{found}` are refused: it is not this host")]
    Forbidden {
        /// Which header gave it away.
        header: &'static str,
        /// What it said.
        found: String,
    },
    /// No token where one is needed, or what is none that holds.
    #[error("{problem}")]
    Unauthorized {
        /// What was found, and what to do.
        problem: String,
    },
    /// A token that does not go so far.
    #[error("it needs the role `{needed}`, and the token `{token}` has the role `{found}`")]
    MissingRole {
        /// What it takes.
        needed: &'static str,
        /// What the token has.
        found: &'static str,
        /// The token's name.
        token: String,
    },
    /// Too many from one client.
    #[error("{problem}")]
    RateLimited {
        /// Of what, and of whom.
        problem: String,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// What a token is to be, and cannot.
    #[error("{problem}")]
    TokenRefused {
        /// What was found, and what to do.
        problem: String,
    },
    /// No such token.
    #[error("no token `{id}`")]
    UnknownToken {
        /// What was asked for.
        id: String,
    },
    /// No such route.
    #[error("no route `{path}`")]
    UnknownRoute {
        /// What was asked for.
        path: String,
    },
    /// No such job.
    #[error("no job `{id}`")]
    UnknownJob {
        /// What was asked for.
        id: String,
    },
    /// The job's record is past its retention.
    #[error("job `{id}` is past its retention")]
    ExpiredJob {
        /// What was asked for.
        id: String,
    },
    /// The job has no such attachment.
    #[error("job `{id}` has no attachment `{name}`")]
    UnknownAttachment {
        /// The job.
        id: String,
        /// What was asked for.
        name: String,
    },
    /// The job has no result, or none yet.
    #[error("job `{id}` has no result: it is {status}")]
    NoResult {
        /// The job.
        id: String,
        /// How far it has come.
        status: &'static str,
    },
    /// Only a job that has failed is run once more.
    #[error("job `{id}` is {status}: only one that is FAILED or CANCELLED can be run once more")]
    NotRetried {
        /// The job.
        id: String,
        /// How far it has come.
        status: &'static str,
    },
    /// The same word was used for another submission.
    #[error("the Idempotency-Key `{key}` was used for another submission: use a new one")]
    KeyReused {
        /// The submitter's word.
        key: String,
    },
    /// Nobody may be told of the job's end there.
    #[error("the callback_url is refused: {reason}")]
    CallbackRefused {
        /// What was found, and what to do.
        reason: String,
    },
    /// The route exists, the verb does not.
    #[error("`{method}` is not allowed here: use {allowed}")]
    WrongMethod {
        /// What was used.
        method: String,
        /// What may be used.
        allowed: String,
    },
    /// A body type that the route does not take.
    #[error(
        "the route takes no `{found}`: send application/json, multipart/form-data, or the image \
         itself under its own type such as image/png"
    )]
    UnsupportedBody {
        /// The content type that was sent.
        found: String,
    },
    /// A body type that a batch does not have.
    #[error("a batch takes no `{found}`: send multipart/form-data with files called `image`")]
    UnsupportedBatch {
        /// The content type that was sent.
        found: String,
    },
    /// A body type that says nothing of a token.
    #[error("a token takes no `{found}`: send application/json with `name` and `role`")]
    UnsupportedToken {
        /// The content type that was sent.
        found: String,
    },
    /// The body took too long to arrive.
    #[error("the request did not arrive within {} s", limit.as_secs())]
    SlowRequest {
        /// How long it may take.
        limit: Duration,
    },
    /// The body is over the limit.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes that a body may have.
        limit: u64,
    },
    /// The head is over the limit.
    #[error("the head of the request is too large: {limit} bytes and 100 headers are the limits")]
    HeadTooLarge {
        /// The most bytes that a head may have.
        limit: u64,
    },
    /// The plugin does not take such images.
    #[error("the plugin takes no `{found}`, only {}", accepts.join(", "))]
    UnsupportedMimeType {
        /// The type that was sent.
        found: String,
        /// The types that the plugin takes.
        accepts: Vec<String>,
    },
    /// The bytes are clearly of another type than was said.
    #[error("the image was sent as `{declared}`, but its bytes are `{found}`")]
    ImageMismatch {
        /// What the request said.
        declared: String,
        /// What the bytes say.
        found: &'static str,
    },
    /// The image's header claims more pixels than the host lets a plugin decode.
    #[error("the image claims {width} x {height} pixels, over the limit of {limit}")]
    ImageTooLarge {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// The most pixels that an image may have.
        limit: u64,
    },
    /// The options break the plugin's schema.
    #[error("the options do not fit the plugin's schema: {}", violations.first().map_or("", |v| v.reason.as_str()))]
    InvalidOptions {
        /// Every way in which they do.
        violations: Vec<Violation>,
    },
    /// The plugin refuses the image.
    #[error("{message}")]
    InvalidInput {
        /// The plugin's words.
        message: String,
        /// The plugin's facts.
        details: Map<String, Value>,
    },
    /// The plugin's answer is no answer.
    #[error("{problem}")]
    InvalidOutput {
        /// What is wrong with it.
        problem: String,
    },
    /// No such plugin.
    #[error("no plugin `{name}`{}", available.first().map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    UnknownPlugin {
        /// What was asked for.
        name: String,
        /// What there is, the nearest first.
        available: Vec<String>,
    },
    /// The plugin is known and cannot be called.
    #[error("plugin is not available: {reason}")]
    Unavailable {
        /// What was found, what was expected, what to do.
        reason: String,
        /// When it will be tried again, if ever.
        retry_after: Option<Duration>,
    },
    /// The plugin's queue is full.
    #[error("{in_flight} calls are running and {queued} are waiting, which is the limit")]
    Overloaded {
        /// Calls that run.
        in_flight: usize,
        /// Calls that wait.
        queued: usize,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The bytes of all requests in flight are as many as the host bears.
    #[error("requests of {in_flight} bytes are in flight, and {limit} is the limit")]
    OverBudget {
        /// Bytes of the requests in flight.
        in_flight: u64,
        /// The most bytes that they may have.
        limit: u64,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The plugin answered with an error.
    #[error("{message}")]
    Failed {
        /// The plugin's words.
        message: String,
        /// The plugin's facts.
        details: Map<String, Value>,
    },
    /// The plugin panicked.
    #[error("{message}")]
    Panicked {
        /// The panic's message.
        message: String,
        /// `file:line:column`.
        location: String,
        /// The backtrace, for operators.
        traceback: Traceback,
    },
    /// A signal ended the plugin's worker.
    #[error("the plugin's worker died of {signal}")]
    Crashed {
        /// Its name: `SIGSEGV`.
        signal: String,
        /// Whether another call than this one was to blame.
        retryable: bool,
        /// Where it happened, for operators.
        traceback: Traceback,
    },
    /// The plugin's code ended its worker.
    #[error("the plugin ended its worker with exit code {exit_code}")]
    Exited {
        /// What it ended it with.
        exit_code: i32,
        /// The worker's last words, for operators.
        traceback: Traceback,
    },
    /// The plugin's worker was at its limit of memory when it died.
    #[error("the plugin's worker ran out of memory: the limit is {} MiB", limit >> 20)]
    OutOfMemory {
        /// The limit, in bytes.
        limit: u64,
        /// Where it happened, for operators.
        traceback: Traceback,
    },
    /// What the plugin's worker said was no answer to this call.
    #[error("the plugin's worker broke the protocol: {problem}")]
    Protocol {
        /// What it did.
        problem: String,
        /// The worker's last words, for operators.
        traceback: Traceback,
    },
    /// The host came to its end while it ran the job, as often as the job may be begun.
    #[error("the host came to its end while it ran the job, {attempts} times")]
    HostDied {
        /// How often.
        attempts: u32,
    },
    /// Over its deadline.
    #[error("no answer within {} ms", deadline.as_millis())]
    TimedOut {
        /// How long it had: the plugin's deadline, or the caller's where that is shorter.
        deadline: Duration,
        /// Whether its code could not be ended.
        still_running: bool,
    },
    /// Nobody waits for it any more.
    #[error("cancelled")]
    Cancelled,
    /// There is no room to keep a job, or what came of it.
    #[error("there is no room to keep it: {problem}")]
    StorageFull {
        /// What the system said.
        problem: String,
    },
    /// The job store cannot be reached, for now.
    #[error("the job store cannot be reached now: try again")]
    StoreUnreachable {
        /// What the system said, for operators.
        traceback: Traceback,
    },
    /// A fault of the host's own.
    #[error("a fault of the host's own; the log has it under the request's id")]
    Internal {
        /// What happened, for operators.
        traceback: Traceback,
    },
}

/// One way in which options break their schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer into the options; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
}

impl CallError {
    /// A fault of the host's own.
    pub fn internal(traceback: impl Into<Traceback>) -> Self {
        Self::Internal {
            traceback: traceback.into(),
        }
    }

    /// No answer within `deadline`, and no code that still runs.
    pub fn timed_out(deadline: Duration) -> Self {
        Self::TimedOut {
            deadline,
            still_running: false,
        }
    }

    /// A plugin that cannot be called, and nothing is known of when it can.
    pub fn unavailable(reason: String) -> Self {
        Self::Unavailable {
            reason,
            retry_after: None,
        }
    }

    /// A body that is not what it should be.
    pub fn malformed(problem: impl ToString) -> Self {
        Self::Malformed {
            problem: problem.to_string(),
        }
    }

    /// An answer that is none.
    pub fn invalid_output(problem: impl ToString) -> Self {
        Self::InvalidOutput {
            problem: problem.to_string(),
        }
    }

    /// Its place in the closed list.
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } => Code::MalformedRequest,
            Self::EmptyImage => Code::EmptyImage,
            Self::MissingMimeType => Code::MissingMimeType,
            Self::Forbidden { .. } => Code::Forbidden,
            Self::Unauthorized { .. } => Code::Unauthorized,
            Self::MissingRole { .. } => Code::Forbidden,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::UnknownRoute { .. }
            | Self::UnknownJob { .. }
            | Self::UnknownAttachment { .. }
            | Self::UnknownToken { .. }
            | Self::NoResult { .. } => Code::NotFound,
            Self::CallbackRefused { .. } => Code::Forbidden,
            Self::HostDied { .. } => Code::Crash,
            Self::StorageFull { .. } => Code::StorageFull,
            Self::ExpiredJob { .. } => Code::Expired,
            Self::WrongMethod { .. } => Code::MethodNotAllowed,
            Self::UnsupportedBody { .. }
            | Self::UnsupportedBatch { .. }
            | Self::UnsupportedToken { .. } => Code::UnsupportedMediaType,
            Self::SlowRequest { .. } => Code::RequestTimeout,
            Self::TooLarge { .. } => Code::PayloadTooLarge,
            Self::HeadTooLarge { .. } => Code::HeadersTooLarge,
            Self::UnsupportedMimeType { .. } => Code::UnsupportedMimeType,
            Self::ImageMismatch { .. } => Code::ImageMismatch,
            Self::ImageTooLarge { .. } => Code::ImageTooLarge,
            Self::InvalidOptions { .. } => Code::InvalidOptions,
            Self::InvalidInput { .. }
            | Self::NotRetried { .. }
            | Self::TokenRefused { .. }
            | Self::KeyReused { .. } => Code::InvalidInput,
            Self::InvalidOutput { .. } => Code::InvalidOutput,
            Self::UnknownPlugin { .. } => Code::PluginNotFound,
            Self::Unavailable { .. } => Code::PluginUnavailable,
            Self::Overloaded { .. } | Self::OverBudget { .. } => Code::Overloaded,
            Self::Failed { .. } => Code::Failed,
            Self::Panicked { .. } => Code::Panic,
            Self::Crashed { .. } => Code::Crash,
            Self::Exited { .. } => Code::Exited,
            Self::OutOfMemory { .. } => Code::OutOfMemory,
            Self::Protocol { .. } => Code::Protocol,
            Self::TimedOut { .. } => Code::Timeout,
            Self::Cancelled => Code::Cancelled,
            Self::StoreUnreachable { .. } | Self::Internal { .. } => Code::Internal,
        }
    }

    /// The facts that a caller may see, but for the code.
    pub fn facts(&self) -> Map<String, Value> {
        let facts = match self {
            Self::UnsupportedMimeType { accepts, .. } => json!({ "accepts": accepts }),
            Self::ImageMismatch { declared, found } => {
                json!({ "declared": declared, "found": found })
            }
            Self::ImageTooLarge {
                width,
                height,
                limit,
            } => {
                json!({ "width": width, "height": height, "limit": limit })
            }
            Self::InvalidOptions { violations } => {
                let violations = violations.iter();
                let list = violations.map(|v| json!({ "path": v.path, "reason": v.reason }));
                json!({ "violations": list.collect::<Vec<_>>() })
            }
            Self::InvalidInput { details, .. } | Self::Failed { details, .. } => {
                return details.clone();
            }
            Self::TooLarge { limit } | Self::HeadTooLarge { limit } => json!({ "limit": limit }),
            Self::UnknownPlugin { available, .. } => json!({ "available": available }),
            Self::Unavailable { reason, .. } => json!({ "reason": reason }),
            Self::Panicked { location, .. } => json!({ "location": location }),
            Self::Crashed {
                signal, retryable, ..
            } => with_flag(json!({ "signal": signal }), "retryable", *retryable),
            Self::Exited { exit_code, .. } => json!({ "exit_code": exit_code }),
            Self::OutOfMemory { limit, .. } => json!({ "limit_bytes": limit }),
            Self::TimedOut {
                deadline,
                still_running,
            } => {
                let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                let facts = json!({ "deadline_ms": deadline_ms });
                with_flag(facts, "still_running", *still_running)
            }
            Self::Overloaded {
                in_flight, queued, ..
            } => {
                json!({ "in_flight": in_flight, "queued": queued })
            }
            Self::HostDied { attempts } => json!({ "attempts": attempts }),
            Self::MissingRole { needed, found, .. } => json!({ "needed": needed, "role": found }),
            Self::OverBudget {
                in_flight, limit, ..
            } => {
                json!({ "bytes_in_flight": in_flight, "limit": limit })
            }
            Self::Malformed { .. }
            | Self::EmptyImage
            | Self::MissingMimeType
            | Self::Forbidden { .. }
            | Self::Unauthorized { .. }
            | Self::RateLimited { .. }
            | Self::TokenRefused { .. }
            | Self::UnknownToken { .. }
            | Self::UnknownRoute { .. }
            | Self::UnknownJob { .. }
            | Self::UnknownAttachment { .. }
            | Self::NoResult { .. }
            | Self::NotRetried { .. }
            | Self::KeyReused { .. }
            | Self::CallbackRefused { .. }
            | Self::StorageFull { .. }
            | Self::ExpiredJob { .. }
            | Self::WrongMethod { .. }
            | Self::UnsupportedBody { .. }
            | Self::UnsupportedBatch { .. }
            | Self::UnsupportedToken { .. }
            | Self::SlowRequest { .. }
            | Self::InvalidOutput { .. }
            | Self::Protocol { .. }
            | Self::Cancelled
            | Self::StoreUnreachable { .. }
            | Self::Internal { .. } => json!({}),
        };
        match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        }
    }

    /// What helps an operator and nobody else.
    pub fn traceback(&self) -> Option<&Traceback> {
        match self {
            Self::Panicked { traceback, .. }
            | Self::Crashed { traceback, .. }
            | Self::Exited { traceback, .. }
            | Self::OutOfMemory { traceback, .. }
            | Self::Protocol { traceback, .. }
            | Self::StoreUnreachable { traceback }
            | Self::Internal { traceback } => Some(traceback),
            _ => None,
        }
    }

    /// When it is worth trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::StoreUnreachable { .. } => Some(Duration::from_secs(1)),
            Self::Overloaded { retry_after, .. }
            | Self::OverBudget { retry_after, .. }
            | Self::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

/// A flag is told only where it is up.
fn with_flag(mut facts: Value, name: &str, is_up: bool) -> Value {
    if is_up {
        facts[name] = true.into();
    }
    facts
}
