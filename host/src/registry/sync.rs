//! The atomics that stand here are the standard library's; the model in `tests/` puts its checker's in their place.

pub(super) use std::sync::atomic;
