//! Bulkhead: a plugin host that a plugin cannot sink.
//!
//! The modules in reading order; each says in its head what it owns and what it must not know.

pub mod loader;
pub mod names;
