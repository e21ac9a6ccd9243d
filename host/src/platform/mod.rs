//! What differs by operating system, and the only unsafe code of the host.

#![allow(
    unsafe_code,
    reason = "the operating system: every block says why it holds"
)]

pub mod crash;
mod library;

pub use library::{Library, OpenError};
