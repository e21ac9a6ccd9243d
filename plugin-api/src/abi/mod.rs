//! All that crosses the boundary between host and plugin, and the only unsafe code of this crate.
//!
//! A plugin's library exports one static, the header of an `abi_stable` root module
//! ([`PluginModule`]): a table of `extern "C"` functions. [`export_plugin!`](crate::export_plugin)
//! writes it, and behind every function stands the guard that turns panics into [`Failure`]s.
//! A host enters a library through [`Module`] and [`Instance`], which hide all of that.
//!
//! Authors need nothing of this module.

#![allow(
    unsafe_code,
    reason = "the boundary: every block says who guarantees what"
)]

mod export;
mod guard;
mod host;
mod load;
mod note;
mod panics;
mod types;

#[cfg(test)]
mod tests;

pub use export::{Declaration, Exclusive, Export, Header, Shared, Sharing, header, thread_safe};
pub use host::{
    Build, Bytes, CallFailure, Instance, Module, Reply, ReplyAttachment, Run, SharedInstance, Sink,
};
pub use load::{HEADER_SYMBOL, LoadError};
pub use note::{Note, note_len};
pub use types::*;
