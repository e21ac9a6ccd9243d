//! The types that cross the boundary. Revision 0: their layout is the contract.
//!
//! What may change without a new major: fields appended to [`PluginModule`] and [`HostTable`]
//! (both are prefix types, and a side that lacks a field reads `None`), pairs in the `ext` of
//! [`Request`], [`Response`] and [`Failure`], and new numbers of [`FailureKind`] and of log levels.
//! All else is frozen with the revision.

use std::sync::atomic::AtomicBool;

use abi_stable::StableAbi;
use abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec};

/// The revision of these types, as the manifest in the file says it. A host serves plugins of its
/// own revision only; within one, either side may be the newer.
pub const REVISION: u32 = 0;

/// What a plugin's library offers: the root module.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(option))]
pub struct PluginModule {
    /// How the library was built.
    pub build: BuildInfo,
    /// The whole manifest as JSON: what the section of the file says, and the schemas.
    pub manifest: extern "C" fn() -> RResult<RString, Failure>,
    /// Makes an instance from the operator's settings, a JSON text.
    pub create: extern "C" fn(RStr<'_>) -> RResult<RawInstance, Failure>,
    /// Answers one call.
    pub run:
        extern "C" fn(RawInstance, &Request<'_>, &RunContext<'_>) -> RResult<Response, Failure>,
    /// Ends an instance. The handle is void afterwards, whatever the result.
    #[sabi(last_prefix_field)]
    pub destroy: extern "C" fn(RawInstance) -> RResult<(), Failure>,
    /// Tells whether an instance is fit to serve.
    pub self_test: extern "C" fn(RawInstance) -> RResult<(), Failure>,
}

/// How a library was built.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct BuildInfo {
    /// Whether a panic unwinds, so that the guard can catch it; `false` for `panic = "abort"`.
    pub panic_unwinds: bool,
    /// Whether one instance may run several calls at a time.
    pub thread_safe: bool,
    /// The version of the SDK, or what stands in for one.
    pub sdk: RStr<'static>,
    /// The compiler, as it names itself.
    pub rustc: RStr<'static>,
}

/// A plugin's instance: a pointer that only its own library understands.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct RawInstance(pub *mut ());

/// A call, as the plugin gets it. Everything is borrowed from the host until `run` returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct Request<'a> {
    /// The bytes of the image file.
    pub image: RSlice<'a, u8>,
    /// Its MIME type.
    pub mime_type: RStr<'a>,
    /// The options: a JSON text that fits the plugin's schema.
    pub options: RStr<'a>,
    /// What later revisions add.
    pub ext: RSlice<'a, Pair<'a>>,
}

/// A borrowed name and its value.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Pair<'a> {
    /// The name.
    pub key: RStr<'a>,
    /// The value.
    pub value: RStr<'a>,
}

/// The host's side of a running call.
#[repr(C)]
#[derive(StableAbi)]
pub struct RunContext<'a> {
    /// Set once nobody waits for the answer any more.
    pub cancelled: &'a AtomicBool,
    /// What the plugin may call while `run` lasts, from any thread.
    pub host: HostTableRef,
    /// The first argument of everything in `host`.
    pub call: CallHandle,
}

/// What [`HostTable::remaining_ns`] says of a call without a deadline.
pub const NO_DEADLINE: u64 = u64::MAX;

/// A call: a pointer that only the host understands.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct CallHandle(pub *const ());

/// What the host offers a running call. A prefix type: the host may be older or newer.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostTableRef)))]
#[sabi(missing_field(option))]
pub struct HostTable {
    /// Takes a line for the log; the level is 1 for errors to 4 for debugging.
    pub log: extern "C" fn(CallHandle, u32, RStr<'_>),
    /// Takes the share that is done, 0 to 1.
    pub progress: extern "C" fn(CallHandle, f32),
    /// Gives the nanoseconds that are left to answer; [`NO_DEADLINE`] for no limit. A question, so
    /// that calls that never ask it read no clock.
    #[sabi(last_prefix_field)]
    pub remaining_ns: extern "C" fn(CallHandle) -> u64,
}

/// An answer. Its memory is the plugin's: it is given back through the plugin's allocator.
#[repr(C)]
#[derive(StableAbi)]
pub struct Response {
    /// A JSON object.
    pub json: RVec<u8>,
    /// Binary data beside it.
    pub attachments: RVec<RawAttachment>,
    /// What later revisions add.
    pub ext: RVec<OwnedPair>,
}

/// Binary data beside an answer.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawAttachment {
    /// A file name.
    pub name: RString,
    /// The MIME type of `data`.
    pub mime_type: RString,
    /// The bytes.
    pub data: RVec<u8>,
}

/// An owned name and its value.
#[repr(C)]
#[derive(StableAbi)]
pub struct OwnedPair {
    /// The name.
    pub key: RString,
    /// The value.
    pub value: RString,
}

/// Why an entry point gave no result.
#[repr(C)]
#[derive(StableAbi)]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// What went wrong, for people.
    pub message: RString,
    /// A JSON object with facts; empty for none.
    pub details: RString,
    /// `file:line:column` of a panic; empty for none.
    pub location: RString,
    /// Raw return addresses of a panic, innermost first: the host finds their names.
    pub backtrace: RVec<u64>,
    /// What later revisions add.
    pub ext: RVec<OwnedPair>,
}

/// Whose fault a failure is. Open: a number that is not known counts as [`FAILED`](Self::FAILED).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct FailureKind(pub u32);

impl FailureKind {
    /// The plugin could not do its work.
    pub const FAILED: Self = Self(1);
    /// The image is at fault.
    pub const INVALID_INPUT: Self = Self(2);
    /// The options are at fault.
    pub const INVALID_OPTIONS: Self = Self(3);
    /// The operator's settings are at fault.
    pub const INVALID_SETTINGS: Self = Self(4);
    /// The output cannot be written as JSON.
    pub const UNSERIALIZABLE: Self = Self(5);
    /// The plugin stopped because it was told to.
    pub const CANCELLED: Self = Self(6);
    /// The plugin panicked: its instance is not to be used again.
    pub const PANIC: Self = Self(7);
}
