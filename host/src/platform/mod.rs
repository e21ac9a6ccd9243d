//! What differs by operating system, and the only unsafe code of the host.
//!
//! One interface with two sides: `linux` is the fast one, `portable` is built of what every system
//! has and runs on Linux too. `library` opens plugins, `memory` is shared with workers, `channel`
//! talks with them, `process` starts and ends them, `worker` is what they do first and `crash` what
//! they do last.

#![allow(
    unsafe_code,
    reason = "the operating system: every block says why it holds"
)]

mod channel;
mod confine;
pub mod crash;
mod fingerprint;
mod gauge;
mod handle;
mod library;
#[cfg(target_os = "linux")]
mod linux;
mod memory;
mod portable;
mod process;
mod side;
mod usage;
mod worker;
mod writer;

pub use channel::{Channel, MAX_FRAME, MAX_HANDLES, Pending, WorkerChannel};
pub use confine::{Attempt, Confinement, InForce, LibraryFile, confine, prove};
pub use fingerprint::Fingerprint;
pub use gauge::{Gauge, release_memory};
pub use handle::Handle;
pub use library::{Library, OpenError};
pub use memory::{Chunk, MappedReplies, MappedRequests, PAGE, ReplyMemory, RequestMemory};
pub use process::{Exit, Output, Peek, Process, Spawned, Spawner, WORKER, own_binary};
pub use side::Side;
pub use usage::ProcessUsage;
pub use worker::{adopt, guard_thread, is_root, is_worker, lend, report_crashes};
pub use writer::has_writer;
