//! Runs a plugin in a unit test through the same guard as in the host, without a library.
//!
//! ```
//! # use bulkhead_plugin::{testing, Context, Error, NoOptions, Plugin, Request};
//! # #[derive(serde::Serialize, schemars::JsonSchema)]
//! # struct Size { bytes: usize }
//! # struct Sizer;
//! # impl Plugin for Sizer {
//! #     type Settings = ();
//! #     type Options = NoOptions;
//! #     type Output = Size;
//! #     fn new(_: ()) -> Result<Self, Error> { Ok(Self) }
//! #     fn run(&self, request: &Request, _: NoOptions, _: &Context) -> Result<Size, Error> {
//! #         Ok(Size { bytes: request.image().len() })
//! #     }
//! # }
//! let answer = testing::Call::new(b"GIF89a", "image/gif").run::<Sizer>().unwrap();
//! assert_eq!(answer.output["bytes"], 6);
//! ```

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use serde_json::{Value, json};

use crate::abi::{CallFailure, Declaration, Exclusive, Export, Module, Run, Sink};
use crate::context::Level;
use crate::{Attachment, Plugin};

/// A call to be made in a test.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    image: &'a [u8],
    mime_type: &'a str,
    options: Value,
    settings: Value,
    cancelled: bool,
    remaining: Option<Duration>,
}

impl<'a> Call<'a> {
    /// A call with this image, without options, settings or deadline.
    pub fn new(image: &'a [u8], mime_type: &'a str) -> Self {
        let (options, settings) = (json!({}), json!({}));
        Self {
            image,
            mime_type,
            options,
            settings,
            cancelled: false,
            remaining: None,
        }
    }

    /// Sends options.
    #[must_use]
    pub fn options(self, options: Value) -> Self {
        Self { options, ..self }
    }

    /// Makes the instance from the operator's settings.
    #[must_use]
    pub fn settings(self, settings: Value) -> Self {
        Self { settings, ..self }
    }

    /// Tells the plugin from the start that nobody waits for the answer.
    #[must_use]
    pub fn cancelled(self) -> Self {
        Self {
            cancelled: true,
            ..self
        }
    }

    /// Sets the time that is left to answer.
    #[must_use]
    pub fn remaining(self, remaining: Duration) -> Self {
        Self {
            remaining: Some(remaining),
            ..self
        }
    }

    /// Makes an instance of `P` and lets it answer.
    ///
    /// # Errors
    /// What the plugin answered instead, or its panic.
    pub fn run<P: Plugin>(&self) -> Result<Answer, CallFailure> {
        let mut instance = Module::of::<Tested<P>>().create(&self.settings.to_string())?;
        instance.self_test()?;
        let sink = Recorder {
            remaining: self.remaining,
            ..Recorder::default()
        };
        let reply = instance.run(&Run {
            image: self.image,
            mime_type: self.mime_type,
            options: &self.options.to_string(),
            cancelled: &AtomicBool::new(self.cancelled),
            sink: &sink,
        })?;
        let output = serde_json::from_slice(reply.json.as_ref()).expect("the guard writes JSON");
        let attachments = reply.attachments.into_iter().map(|attachment| Attachment {
            name: attachment.name,
            mime_type: attachment.mime_type,
            data: attachment.data.as_ref().to_vec(),
        });
        let Recorded { log, progress } = sink.into_recorded();
        Ok(Answer {
            output,
            attachments: attachments.collect(),
            log,
            progress,
        })
    }
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The output as JSON.
    pub output: Value,
    /// What was attached.
    pub attachments: Vec<Attachment>,
    /// What was logged.
    pub log: Vec<(Level, String)>,
    /// The shares of the work that were told as done.
    pub progress: Vec<f32>,
}

struct Tested<P>(P);

impl<P: Plugin> Export for Tested<P> {
    type Plugin = P;
    type Sharing = Exclusive;
    const DECLARATION: Declaration = Declaration {
        name: "tested",
        version: "0.0.0",
        accepts: &["*/*"],
        summary: "In a test",
    };
    const PANIC_UNWINDS: bool = cfg!(panic = "unwind");
}

#[derive(Default)]
struct Recorder {
    recorded: Mutex<Recorded>,
    remaining: Option<Duration>,
}

#[derive(Default)]
struct Recorded {
    log: Vec<(Level, String)>,
    progress: Vec<f32>,
}

impl Recorder {
    fn into_recorded(self) -> Recorded {
        self.recorded
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recorder {
    fn remaining(&self) -> Option<Duration> {
        self.remaining
    }

    fn log(&self, level: Level, message: &str) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.log.push((level, message.to_owned()));
    }

    fn progress(&self, fraction: f32) {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .progress
            .push(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::FailureKind;
    use crate::{Context, Error, Request};

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Way {
        Answer,
        Fail,
        Panic,
        Cancel,
    }

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Options {
        way: Way,
    }

    #[derive(serde::Serialize, schemars::JsonSchema)]
    struct Report {
        length: usize,
        greeting: String,
        has_time: bool,
    }

    #[derive(serde::Deserialize)]
    struct Settings {
        greeting: String,
    }

    struct Subject(Settings);

    impl Plugin for Subject {
        type Settings = Settings;
        type Options = Options;
        type Output = Report;

        fn new(settings: Settings) -> Result<Self, Error> {
            Ok(Self(settings))
        }

        fn run(
            &self,
            request: &Request,
            options: Options,
            context: &Context,
        ) -> Result<Report, Error> {
            match options.way {
                Way::Answer => {}
                Way::Fail => return Err(Error::invalid_input("no").with_detail("at", 3)),
                Way::Panic => panic!("kaboom"),
                Way::Cancel => context.check_cancelled()?,
            }
            context.progress(2.0);
            context.log(Level::Warn, format_args!("{} bytes", request.image().len()));
            context.attach("a.txt", "text/plain", b"beside".to_vec());
            let has_time = context
                .remaining()
                .is_some_and(|left| left > Duration::ZERO);
            let (length, greeting) = (request.image().len(), self.0.greeting.clone());
            Ok(Report {
                length,
                greeting,
                has_time,
            })
        }
    }

    fn call(way: &str) -> Call<'static> {
        Call::new(b"GIF89a", "image/gif")
            .options(json!({ "way": way }))
            .settings(json!({ "greeting": "hello" }))
    }

    #[test]
    fn an_answer_comes_with_all_that_was_told() {
        let answer = call("answer")
            .remaining(Duration::from_secs(60))
            .run::<Subject>()
            .unwrap();
        assert_eq!(
            answer.output,
            json!({"length": 6, "greeting": "hello", "has_time": true})
        );
        assert_eq!(answer.log, [(Level::Warn, "6 bytes".to_owned())]);
        assert_eq!(answer.progress, [1.0], "what lies outside is clamped");
        assert_eq!(answer.attachments[0].data, b"beside");
    }

    #[test]
    fn every_failure_says_whose_fault_it_is() {
        let kind = |call: Call| call.run::<Subject>().unwrap_err().kind;
        assert_eq!(kind(call("fail")), FailureKind::INVALID_INPUT);
        assert_eq!(kind(call("panic")), FailureKind::PANIC);
        assert_eq!(kind(call("cancel").cancelled()), FailureKind::CANCELLED);
        assert_eq!(kind(call("nonsense")), FailureKind::INVALID_OPTIONS);
        assert_eq!(
            kind(call("answer").settings(json!({}))),
            FailureKind::INVALID_SETTINGS
        );
    }

    #[test]
    fn a_panic_tells_its_place_and_details_keep_their_types() {
        let panic = call("panic").run::<Subject>().unwrap_err();
        assert_eq!(panic.message, "kaboom");
        assert!(panic.location.contains("testing.rs:"), "{}", panic.location);
        assert!(!panic.backtrace.is_empty());
        let failure = call("fail").run::<Subject>().unwrap_err();
        assert_eq!(failure.details, r#"{"at":3}"#);
    }
}
