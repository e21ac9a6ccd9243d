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
//! #         if request.image() == b"GIF" { return Err(Error::invalid_input("cut off")) }
//! #         Ok(Size { bytes: request.image().len() })
//! #     }
//! # }
//! let answer = testing::Call::new(b"GIF89a", "image/gif").run::<Sizer>().unwrap();
//! assert_eq!(answer.output["bytes"], 6);
//!
//! let failure = testing::Call::new(b"GIF", "image/gif").run::<Sizer>().unwrap_err();
//! assert_eq!(failure.kind, testing::Kind::InvalidInput);
//! assert_eq!(failure.to_string(), "invalid_input: cut off");
//! ```
//!
//! A host also holds options and output to the plugin's schemas. So does [`Call::run`] with the
//! crate's feature `testing`, which brings a JSON Schema validator to tests and to nothing else:
//!
//! ```toml
//! [dev-dependencies]
//! bulkhead-plugin = { version = "0.1", features = ["testing"] }
//! ```
//!
//! Without the feature all else is the same, and options are held to their types alone: a range
//! that only the schema knows is not checked, nor is a number in the output that is not finite.

mod failure;
#[cfg(feature = "testing")]
mod schemas;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use failure::{Failure, Kind};
pub use serde_json::{Value, json};

use crate::abi::{Declaration, Exclusive, Export, Module, Run, Sink};
use crate::context::Level;
use crate::{Attachment, Manifest, Plugin};

/// What a host learns from a plugin that runs, above all the schemas of its options and its output.
/// What [`export_plugin!`](crate::export_plugin) declares (name, version, types) is not in here.
pub fn manifest<P: Plugin>() -> Manifest {
    Manifest::of::<Tested<P>>()
}

/// A call to be made in a test.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    image: &'a [u8],
    mime_type: &'a str,
    options: Value,
    settings: Value,
    // The share of the work at which the caller goes away.
    cancelled_at: Option<f32>,
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
            cancelled_at: None,
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
        self.cancelled_at(f32::NEG_INFINITY)
    }

    /// Tells the plugin that nobody waits any more once it says that this share of the work, from 0
    /// to 1, or more is done: a cancel in mid-run that needs no clock. See
    /// [`Context::progress`](crate::Context::progress).
    #[must_use]
    pub fn cancelled_at(self, progress: f32) -> Self {
        Self {
            cancelled_at: Some(progress),
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
    /// What the plugin answered instead, or its panic; options or output that are not what its
    /// schemas say (with the feature `testing`); output that is no JSON object.
    pub fn run<P: Plugin>(&self) -> Result<Answer, Failure> {
        let mut instance = Module::of::<Tested<P>>().create(&self.settings.to_string())?;
        instance.self_test()?;
        #[cfg(feature = "testing")]
        schemas::check_options::<P>(&self.options)?;
        let sink = Recorder::new(self);
        let reply = instance.run(&Run {
            image: self.image,
            mime_type: self.mime_type,
            options: &self.options.to_string(),
            cancelled: &sink.cancelled,
            sink: &sink,
        })?;
        let output = object(reply.json.as_ref())?;
        #[cfg(feature = "testing")]
        schemas::check_output::<P>(&output)?;
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

/// The output, which a host takes as a JSON object only.
fn object(json: &[u8]) -> Result<Value, Failure> {
    match serde_json::from_slice(json) {
        Ok(output @ Value::Object(_)) => Ok(output),
        Ok(other) => Err(Failure::new(
            Kind::InvalidOutput,
            format!("the output is no JSON object: {other}"),
        )),
        Err(error) => Err(Failure::new(Kind::InvalidOutput, error.to_string())),
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
    /// The shares of the work that were told as done, from 0 to 1.
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

struct Recorder {
    recorded: Mutex<Recorded>,
    cancelled: AtomicBool,
    cancelled_at: Option<f32>,
    remaining: Option<Duration>,
}

#[derive(Default)]
struct Recorded {
    log: Vec<(Level, String)>,
    progress: Vec<f32>,
}

impl Recorder {
    fn new(call: &Call<'_>) -> Self {
        let recorder = Self {
            recorded: Mutex::default(),
            cancelled: AtomicBool::new(false),
            cancelled_at: call.cancelled_at,
            remaining: call.remaining,
        };
        recorder.cancel_if_at(f32::NEG_INFINITY);
        recorder
    }

    fn cancel_if_at(&self, progress: f32) {
        if self.cancelled_at.is_some_and(|at| progress >= at) {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

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
        self.cancel_if_at(fraction);
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .progress
            .push(fraction);
    }
}

#[cfg(test)]
mod tests;
