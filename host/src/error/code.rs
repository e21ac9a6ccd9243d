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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Validation, Self::Plugin, Self::Execution];

    /// The word in the envelope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "ValidationError",
            Self::Plugin => "PluginError",
            Self::Execution => "ExecutionError",
        }
    }
}

/// One row a code, so that none can lack its word, its type, or its place in the list of all.
macro_rules! codes {
    ($($code:ident, $word:literal, $error_type:ident;)+) => {
        /// The closed list of codes, each with its type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(
            missing_docs,
            reason = "the contract's table of codes says what each means"
        )]
        pub enum Code {
            $($code,)+
        }

        impl Code {
            /// All of them, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The word in `details.code`, and whose fault it names.
            pub fn words(self) -> (&'static str, ErrorType) {
                match self {
                    $(Self::$code => ($word, ErrorType::$error_type),)+
                }
            }
        }
    };
}

codes! {
    MalformedRequest, "malformed_request", Validation;
    EmptyImage, "empty_image", Validation;
    MissingMimeType, "missing_mime_type", Validation;
    Unauthorized, "unauthorized", Validation;
    Forbidden, "forbidden", Validation;
    NotFound, "not_found", Validation;
    Expired, "expired", Validation;
    MethodNotAllowed, "method_not_allowed", Validation;
    UnsupportedMediaType, "unsupported_media_type", Validation;
    RequestTimeout, "request_timeout", Validation;
    PayloadTooLarge, "payload_too_large", Validation;
    RateLimited, "rate_limited", Validation;
    HeadersTooLarge, "headers_too_large", Validation;
    UnsupportedMimeType, "unsupported_mime_type", Validation;
    ImageMismatch, "image_mismatch", Validation;
    ImageTooLarge, "image_too_large", Validation;
    InvalidOptions, "invalid_options", Validation;
    InvalidInput, "invalid_input", Validation;
    InvalidOutput, "invalid_output", Validation;
    PluginNotFound, "plugin_not_found", Plugin;
    PluginUnavailable, "plugin_unavailable", Plugin;
    Overloaded, "overloaded", Plugin;
    Failed, "failed", Execution;
    Panic, "panic", Execution;
    Crash, "crash", Execution;
    Exited, "exited", Execution;
    OutOfMemory, "out_of_memory", Execution;
    Protocol, "protocol", Execution;
    Timeout, "timeout", Execution;
    Cancelled, "cancelled", Execution;
    StorageFull, "storage_full", Execution;
    Internal, "internal", Execution;
}

impl Code {
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
