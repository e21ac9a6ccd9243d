//! Everything that can go wrong with a call, with its facts. Knows no status codes and no JSON
//! envelope; its codes are the closed list of the contract.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use thiserror::Error;

/// Who is to blame, in the three words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The request, or the shape of an answer.
    Validation,
    /// The plugin as such: it is not there, or not to be had.
    Plugin,
    /// The execution.
    Execution,
}

impl ErrorType {
    /// The word in the envelope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "ValidationError",
            Self::Plugin => "PluginError",
            Self::Execution => "ExecutionError",
        }
    }
}

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
    /// Over its deadline.
    #[error("no answer within {} ms", deadline.as_millis())]
    TimedOut {
        /// How long it had.
        deadline: Duration,
        /// Whether its code could not be ended.
        still_running: bool,
    },
    /// Nobody waits for it any more.
    #[error("cancelled")]
    Cancelled,
    /// A fault of the host's own.
    #[error("a fault of the host's own; the log has it under the request's id")]
    Internal {
        /// What happened, for operators.
        traceback: Traceback,
    },
}

/// What helps an operator to find the place. Finding the names of a backtrace's functions takes
/// longer than a call may wait, so it is put off until somebody looks.
#[derive(Clone)]
pub struct Traceback(Arc<LazyLock<String, Box<dyn FnOnce() -> String + Send>>>);

impl Traceback {
    /// A text that is made when it is first looked at.
    pub fn later(make: impl FnOnce() -> String + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }

    /// The text. The first to ask may wait long for it: not for async code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Traceback {
    fn from(text: String) -> Self {
        Self::later(move || text)
    }
}

impl Default for Traceback {
    fn default() -> Self {
        String::new().into()
    }
}

impl fmt::Debug for Traceback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traceback")
    }
}

impl Serialize for Traceback {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One way in which options break their schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer into the options; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
}

/// The closed list of codes, each with its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the contract's table of codes says what each means"
)]
pub enum Code {
    MalformedRequest,
    EmptyImage,
    MissingMimeType,
    Forbidden,
    NotFound,
    Expired,
    MethodNotAllowed,
    UnsupportedMediaType,
    RequestTimeout,
    PayloadTooLarge,
    UnsupportedMimeType,
    ImageMismatch,
    ImageTooLarge,
    InvalidOptions,
    InvalidInput,
    InvalidOutput,
    PluginNotFound,
    PluginUnavailable,
    Overloaded,
    Failed,
    Panic,
    Timeout,
    Cancelled,
    Internal,
}

impl Code {
    /// The word in `details.code`, and whose fault it names.
    pub fn words(self) -> (&'static str, ErrorType) {
        use ErrorType::{Execution, Plugin, Validation};
        match self {
            Self::MalformedRequest => ("malformed_request", Validation),
            Self::EmptyImage => ("empty_image", Validation),
            Self::MissingMimeType => ("missing_mime_type", Validation),
            Self::Forbidden => ("forbidden", Validation),
            Self::NotFound => ("not_found", Validation),
            Self::Expired => ("expired", Validation),
            Self::MethodNotAllowed => ("method_not_allowed", Validation),
            Self::UnsupportedMediaType => ("unsupported_media_type", Validation),
            Self::RequestTimeout => ("request_timeout", Validation),
            Self::PayloadTooLarge => ("payload_too_large", Validation),
            Self::UnsupportedMimeType => ("unsupported_mime_type", Validation),
            Self::ImageMismatch => ("image_mismatch", Validation),
            Self::ImageTooLarge => ("image_too_large", Validation),
            Self::InvalidOptions => ("invalid_options", Validation),
            Self::InvalidInput => ("invalid_input", Validation),
            Self::InvalidOutput => ("invalid_output", Validation),
            Self::PluginNotFound => ("plugin_not_found", Plugin),
            Self::PluginUnavailable => ("plugin_unavailable", Plugin),
            Self::Overloaded => ("overloaded", Plugin),
            Self::Failed => ("failed", Execution),
            Self::Panic => ("panic", Execution),
            Self::Timeout => ("timeout", Execution),
            Self::Cancelled => ("cancelled", Execution),
            Self::Internal => ("internal", Execution),
        }
    }

    /// The word in `details.code`.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }
}

impl CallError {
    /// A fault of the host's own.
    pub fn internal(traceback: impl Into<Traceback>) -> Self {
        Self::Internal {
            traceback: traceback.into(),
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
            Self::UnknownRoute { .. } | Self::UnknownJob { .. } => Code::NotFound,
            Self::ExpiredJob { .. } => Code::Expired,
            Self::WrongMethod { .. } => Code::MethodNotAllowed,
            Self::UnsupportedBody { .. } => Code::UnsupportedMediaType,
            Self::SlowRequest { .. } => Code::RequestTimeout,
            Self::TooLarge { .. } => Code::PayloadTooLarge,
            Self::UnsupportedMimeType { .. } => Code::UnsupportedMimeType,
            Self::ImageMismatch { .. } => Code::ImageMismatch,
            Self::ImageTooLarge { .. } => Code::ImageTooLarge,
            Self::InvalidOptions { .. } => Code::InvalidOptions,
            Self::InvalidInput { .. } => Code::InvalidInput,
            Self::InvalidOutput { .. } => Code::InvalidOutput,
            Self::UnknownPlugin { .. } => Code::PluginNotFound,
            Self::Unavailable { .. } => Code::PluginUnavailable,
            Self::Overloaded { .. } => Code::Overloaded,
            Self::Failed { .. } => Code::Failed,
            Self::Panicked { .. } => Code::Panic,
            Self::TimedOut { .. } => Code::Timeout,
            Self::Cancelled => Code::Cancelled,
            Self::Internal { .. } => Code::Internal,
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
            Self::TooLarge { limit } => json!({ "limit": limit }),
            Self::UnknownPlugin { available, .. } => json!({ "available": available }),
            Self::Unavailable { reason, .. } => json!({ "reason": reason }),
            Self::Panicked { location, .. } => json!({ "location": location }),
            Self::TimedOut {
                deadline,
                still_running,
            } => {
                let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                let mut facts = json!({ "deadline_ms": deadline_ms });
                if *still_running {
                    facts["still_running"] = true.into();
                }
                facts
            }
            Self::Overloaded {
                in_flight, queued, ..
            } => {
                json!({ "in_flight": in_flight, "queued": queued })
            }
            Self::Malformed { .. }
            | Self::EmptyImage
            | Self::MissingMimeType
            | Self::Forbidden { .. }
            | Self::UnknownRoute { .. }
            | Self::UnknownJob { .. }
            | Self::ExpiredJob { .. }
            | Self::WrongMethod { .. }
            | Self::UnsupportedBody { .. }
            | Self::SlowRequest { .. }
            | Self::InvalidOutput { .. }
            | Self::Cancelled
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
            Self::Panicked { traceback, .. } | Self::Internal { traceback } => Some(traceback),
            _ => None,
        }
    }

    /// When it is worth trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Overloaded { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}
