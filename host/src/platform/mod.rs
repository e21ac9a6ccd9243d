//! What differs by operating system, and the only unsafe code of the host.

#![allow(
    unsafe_code,
    reason = "the operating system: every block says why it holds"
)]

mod confine;
mod library;
#[cfg(target_os = "linux")]
mod linux;

pub use confine::{Attempt, Confinement, InForce, LibraryFile, confine, prove};
pub use library::{Library, OpenError};
