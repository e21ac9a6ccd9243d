//! The closed list of what can go wrong, each with the word of the contract. Knows no facts.

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
    Unauthorized,
    Forbidden,
    NotFound,
    Expired,
    MethodNotAllowed,
    UnsupportedMediaType,
    RequestTimeout,
    PayloadTooLarge,
    RateLimited,
    HeadersTooLarge,
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
    Crash,
    Exited,
    OutOfMemory,
    Protocol,
    Timeout,
    Cancelled,
    StorageFull,
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
            Self::Unauthorized => ("unauthorized", Validation),
            Self::Forbidden => ("forbidden", Validation),
            Self::NotFound => ("not_found", Validation),
            Self::Expired => ("expired", Validation),
            Self::MethodNotAllowed => ("method_not_allowed", Validation),
            Self::UnsupportedMediaType => ("unsupported_media_type", Validation),
            Self::RequestTimeout => ("request_timeout", Validation),
            Self::PayloadTooLarge => ("payload_too_large", Validation),
            Self::RateLimited => ("rate_limited", Validation),
            Self::HeadersTooLarge => ("headers_too_large", Validation),
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
            Self::Crash => ("crash", Execution),
            Self::Exited => ("exited", Execution),
            Self::OutOfMemory => ("out_of_memory", Execution),
            Self::Protocol => ("protocol", Execution),
            Self::Timeout => ("timeout", Execution),
            Self::Cancelled => ("cancelled", Execution),
            Self::StorageFull => ("storage_full", Execution),
            Self::Internal => ("internal", Execution),
        }
    }

    /// The word in `details.code`.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// Whether it speaks against the plugin: a good build would not have given it.
    pub fn is_fault(self) -> bool {
        self.is_crash()
            || matches!(
                self,
                Self::InvalidOutput | Self::Failed | Self::Panic | Self::Timeout
            )
    }

    /// Whether a worker came to its end with the call.
    pub fn is_crash(self) -> bool {
        matches!(
            self,
            Self::Crash | Self::Exited | Self::OutOfMemory | Self::Protocol
        )
    }
}
