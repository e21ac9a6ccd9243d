//! The SDK for Bulkhead plugins: all that an author needs, in safe Rust.
//!
//! A plugin is a crate of type `cdylib` with three dependencies (this one, `serde`, `schemars`):
//!
//! ```
//! use bulkhead_plugin::{Context, Error, Plugin, Request, export_plugin};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// What a caller may send with each image.
//! #[derive(Deserialize, JsonSchema)]
//! struct Options {
//!     /// Count this byte only.
//!     byte: Option<u8>,
//! }
//!
//! /// What it gets back: always a JSON object.
//! #[derive(Serialize, JsonSchema)]
//! struct Count {
//!     count: usize,
//! }
//!
//! struct Counter;
//!
//! impl Plugin for Counter {
//!     type Settings = ();
//!     type Options = Options;
//!     type Output = Count;
//!
//!     fn new(_: ()) -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     fn run(&self, request: &Request, options: Options, _: &Context) -> Result<Count, Error> {
//!         let counts = |byte: &&u8| options.byte.is_none_or(|wanted| wanted == **byte);
//!         Ok(Count { count: request.image().iter().filter(counts).count() })
//!     }
//! }
//!
//! export_plugin! { Counter, name: "counter", accepts: ["*/*"], summary: "Counts bytes" }
//! # fn main() {}
//! ```
//!
//! # The life of a plugin
//!
//! 1. `cargo build --release` makes a shared library with a note in it: name, version, what it
//!    accepts. A host reads the note without running anything.
//! 2. The operator drops the file into the host's folder. The host checks it, copies it, opens the
//!    copy and compares the layout of every type that crosses the boundary.
//! 3. [`Plugin::new`] makes an instance from the operator's settings; [`Plugin::self_test`] may
//!    refuse to serve.
//! 4. [`Plugin::run`] answers calls: typed [`Options`](Plugin::Options) in, typed
//!    [`Output`](Plugin::Output) out, with a [`Context`] for progress, log lines, attachments, and
//!    to learn that nobody waits any more.
//! 5. A panic ends its call with an error that names the place; the instance is replaced.
//!
//! # Testing
//!
//! [`testing::Call`] makes a call in a unit test, through the same guard as in a host: it gives the
//! output with all that was attached, logged and told of progress, or a [`testing::Failure`] that
//! says whose fault it was, a panic included. It can play a deadline and a caller that goes away in
//! mid-run. With the feature `testing`, for `[dev-dependencies]`, it holds options and output to
//! their schemas as well, as a host does: a range that options break is refused, and so is a NaN.
//!
//! The [`abi`] module is what lies between host and library; authors never see it.

pub mod abi;
mod attachment;
mod context;
mod error;
mod manifest;
mod options;
mod plugin;
pub mod testing;

pub use attachment::Attachment;
pub use context::{Context, Level};
pub use error::Error;
pub use manifest::Manifest;
pub use options::NoOptions;
pub use plugin::{Plugin, Request};
