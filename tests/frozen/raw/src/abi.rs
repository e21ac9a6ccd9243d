//! The types of the boundary at revision 0, for a plugin without the SDK. Never to be changed.

use std::sync::atomic::AtomicBool;

use abi_stable::StableAbi;
use abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec};

#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(option))]
pub struct PluginModule {
    pub build: BuildInfo,
    pub manifest: extern "C" fn() -> RResult<RString, Failure>,
    pub create: extern "C" fn(RStr<'_>) -> RResult<RawInstance, Failure>,
    pub run:
        extern "C" fn(RawInstance, &Request<'_>, &RunContext<'_>) -> RResult<Response, Failure>,
    #[sabi(last_prefix_field)]
    pub destroy: extern "C" fn(RawInstance) -> RResult<(), Failure>,
    pub self_test: extern "C" fn(RawInstance) -> RResult<(), Failure>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct BuildInfo {
    pub panic_unwinds: bool,
    pub thread_safe: bool,
    pub sdk: RStr<'static>,
    pub rustc: RStr<'static>,
}

#[repr(transparent)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct RawInstance(pub *mut ());

#[repr(C)]
#[derive(StableAbi)]
pub struct Request<'a> {
    pub image: RSlice<'a, u8>,
    pub mime_type: RStr<'a>,
    pub options: RStr<'a>,
    pub ext: RSlice<'a, Pair<'a>>,
}

#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Pair<'a> {
    pub key: RStr<'a>,
    pub value: RStr<'a>,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct RunContext<'a> {
    pub cancelled: &'a AtomicBool,
    pub host: HostTableRef,
    pub call: CallHandle,
}

#[repr(transparent)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct CallHandle(pub *const ());

#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostTableRef)))]
#[sabi(missing_field(option))]
pub struct HostTable {
    pub log: extern "C" fn(CallHandle, u32, RStr<'_>),
    pub progress: extern "C" fn(CallHandle, f32),
    #[sabi(last_prefix_field)]
    pub remaining_ns: extern "C" fn(CallHandle) -> u64,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct Response {
    pub json: RVec<u8>,
    pub attachments: RVec<RawAttachment>,
    pub ext: RVec<OwnedPair>,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct RawAttachment {
    pub name: RString,
    pub mime_type: RString,
    pub data: RVec<u8>,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct OwnedPair {
    pub key: RString,
    pub value: RString,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: RString,
    pub details: RString,
    pub location: RString,
    pub backtrace: RVec<u64>,
    pub ext: RVec<OwnedPair>,
}

#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct FailureKind(pub u32);
