//! The side that every system has: it is built of the standard library and of portable crates, runs
//! on Linux as well, and is tested there.

pub(super) mod channel;
pub(super) mod memory;
pub(super) mod process;
pub(super) mod worker;
