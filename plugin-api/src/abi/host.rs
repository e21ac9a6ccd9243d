//! The host's side of the boundary: a module and its instances as safe types.
//!
//! A library is never unloaded once a [`Module`] was taken from it, so everything here may outlive
//! the handle that opened it.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec};

use super::guard;
use super::panics;
use super::types::{
    CallHandle, Failure, FailureKind, HostTable, HostTableRef, NO_DEADLINE, PluginModuleRef,
    RawInstance, Request, Response, RunContext,
};
use crate::context::Level;

/// A plugin's library, checked and ready to make instances.
#[derive(Clone, Copy)]
pub struct Module(PluginModuleRef);

impl Module {
    /// The module behind a root that a library gave, after its layout was checked. Not public: the
    /// functions of a root do as they like with an instance's pointer, so not any root will do.
    pub(super) fn new(root: PluginModuleRef) -> Self {
        Self(root)
    }

    /// The module that a library with this export would give, without a library.
    pub fn of<E: super::Export>() -> Self {
        Self(guard::module::<E>())
    }

    /// How the library was built.
    pub fn build(self) -> Build {
        let build = self.0.build();
        Build {
            panic_unwinds: build.panic_unwinds,
            thread_safe: build.thread_safe,
            sdk: lossy_str(build.sdk),
            rustc: lossy_str(build.rustc),
        }
    }

    /// The plugin's manifest, a JSON text.
    ///
    /// # Errors
    /// When the plugin's own code failed.
    pub fn manifest(self) -> Result<String, CallFailure> {
        (self.0.manifest())()
            .into_result()
            .map(lossy)
            .map_err(CallFailure::from)
    }

    /// A new instance, made from the operator's settings (a JSON text).
    ///
    /// # Errors
    /// When the plugin's own code failed.
    pub fn create(self, settings: &str) -> Result<Instance, CallFailure> {
        match (self.0.create())(settings.into()) {
            RResult::ROk(raw) => Ok(Instance { raw, module: self }),
            RResult::RErr(failure) => Err(failure.into()),
        }
    }
}

/// How a library was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Whether a panic unwinds, so that it can be caught.
    pub panic_unwinds: bool,
    /// Whether one instance may run several calls at a time.
    pub thread_safe: bool,
    /// The version of its SDK.
    pub sdk: String,
    /// Its compiler, as that names itself.
    pub rustc: String,
}

/// A plugin's instance, which runs one call at a time. Ends with its drop.
pub struct Instance {
    raw: RawInstance,
    module: Module,
}

// SAFETY: `Plugin: Send` in the library that made it; nothing here is tied to a thread.
unsafe impl Send for Instance {}

impl Instance {
    /// Answers one call.
    ///
    /// # Errors
    /// What the plugin answered, or its panic: after [`FailureKind::PANIC`] the instance is not to
    /// be used again.
    pub fn run(&mut self, run: &Run<'_>) -> Result<Reply, CallFailure> {
        self.enter(run)
    }

    /// Whether the instance is fit to serve; a plugin that cannot tell is.
    ///
    /// # Errors
    /// Why it is not.
    pub fn self_test(&mut self) -> Result<(), CallFailure> {
        match self.module.0.self_test() {
            Some(self_test) => self_test(self.raw).into_result().map_err(CallFailure::from),
            None => Ok(()),
        }
    }

    /// The same instance for several calls at a time, where the plugin is thread-safe.
    ///
    /// # Errors
    /// Gives the instance back where it is not.
    pub fn share(self) -> Result<SharedInstance, Self> {
        if self.module.0.build().thread_safe {
            Ok(SharedInstance(self))
        } else {
            Err(self)
        }
    }

    fn enter(&self, run: &Run<'_>) -> Result<Reply, CallFailure> {
        let request = Request {
            image: RSlice::from_slice(run.image),
            mime_type: run.mime_type.into(),
            options: run.options.into(),
            ext: RSlice::EMPTY,
        };
        let context = RunContext {
            cancelled: run.cancelled,
            host: HOST,
            call: CallHandle((&raw const run.sink).cast()),
        };
        let outcome = (self.module.0.run())(self.raw, &request, &context);
        outcome
            .into_result()
            .map(Reply::from)
            .map_err(CallFailure::from)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A destructor that fails leaves nothing to be done: its failure is the plugin's own.
        let _ = (self.module.0.destroy())(self.raw);
    }
}

/// A thread-safe plugin's instance, which runs any number of calls at a time.
pub struct SharedInstance(Instance);

// SAFETY: made only by `Instance::share`, for a plugin that has declared that its type is `Sync`.
unsafe impl Sync for SharedInstance {}

impl SharedInstance {
    /// Answers one call.
    ///
    /// # Errors
    /// As [`Instance::run`].
    pub fn run(&self, run: &Run<'_>) -> Result<Reply, CallFailure> {
        self.0.enter(run)
    }
}

/// One call, as a lane hands it to an instance.
pub struct Run<'a> {
    /// The bytes of the image file.
    pub image: &'a [u8],
    /// Its MIME type.
    pub mime_type: &'a str,
    /// The options: a JSON text that fits the plugin's schema.
    pub options: &'a str,
    /// Set once nobody waits for the answer any more.
    pub cancelled: &'a AtomicBool,
    /// Where progress and log lines go, and where the time is kept.
    pub sink: &'a dyn Sink,
}

/// The host's side of a running call: may be used from any thread of the plugin while it lasts.
pub trait Sink: Sync {
    /// A line for the log.
    fn log(&self, level: Level, message: &str);
    /// The share that is done, 0 to 1.
    fn progress(&self, fraction: f32);
    /// The time that is left to answer; `None` for no deadline.
    fn remaining(&self) -> Option<Duration>;
}

/// A plugin's answer.
#[derive(Debug)]
pub struct Reply {
    /// The output: what the plugin says is a JSON object.
    pub json: Bytes,
    /// Binary data beside it.
    pub attachments: Vec<ReplyAttachment>,
}

/// Binary data beside an answer.
#[derive(Debug)]
pub struct ReplyAttachment {
    /// A file name.
    pub name: String,
    /// The MIME type of `data`.
    pub mime_type: String,
    /// The bytes.
    pub data: Bytes,
}

/// Memory that a plugin allocated and that goes back to its allocator: read without a copy.
#[derive(Debug)]
pub struct Bytes(RVec<u8>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let attachments = response.attachments.into_iter().map(|raw| ReplyAttachment {
            name: lossy(raw.name),
            mime_type: lossy(raw.mime_type),
            data: Bytes(raw.data),
        });
        Self {
            json: Bytes(response.json),
            attachments: attachments.collect(),
        }
    }
}

/// Why a plugin gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// What went wrong, for people.
    pub message: String,
    /// A JSON object with facts, as text; empty for none.
    pub details: String,
    /// `file:line:column` of a panic; empty for none.
    pub location: String,
    /// Raw return addresses of a panic, innermost first.
    pub backtrace: Vec<u64>,
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallFailure {}

impl From<Failure> for CallFailure {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind,
            message: lossy(failure.message),
            details: lossy(failure.details),
            location: lossy(failure.location),
            backtrace: failure.backtrace.to_vec(),
        }
    }
}

const HOST: HostTableRef = {
    const TABLE: &abi_stable::prefix_type::WithMetadata<HostTable> =
        &abi_stable::prefix_type::WithMetadata::new(HostTable {
            log,
            progress,
            remaining_ns,
        });
    HostTableRef(TABLE.static_as_prefix())
};

extern "C" fn log(call: CallHandle, level: u32, message: RStr<'_>) {
    with_sink(call, |sink| {
        sink.log(
            Level::of(level),
            &String::from_utf8_lossy(message.as_bytes()),
        );
    });
}

extern "C" fn progress(call: CallHandle, fraction: f32) {
    with_sink(call, |sink| sink.progress(fraction));
}

extern "C" fn remaining_ns(call: CallHandle) -> u64 {
    let left = with_sink(call, |sink| sink.remaining()).flatten();
    left.map_or(NO_DEADLINE, nanoseconds)
}

/// Lets the call's own sink answer. A panic of ours must not unwind into the plugin.
fn with_sink<T>(call: CallHandle, use_sink: impl FnOnce(&dyn Sink) -> T) -> Option<T> {
    // SAFETY: `Instance::enter` made the handle from a sink that lives until `run` returns, and
    // plugins may use it no longer than that.
    let sink = unsafe { *call.0.cast::<&dyn Sink>() };
    panics::contain(|| use_sink(sink))
}

fn nanoseconds(left: Duration) -> u64 {
    u64::try_from(left.as_nanos()).unwrap_or(NO_DEADLINE)
}

/// A plugin that is not written in Rust may put anything into a string.
fn lossy(text: RString) -> String {
    lossy_str(text.as_rstr())
}

fn lossy_str(text: RStr<'_>) -> String {
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}
