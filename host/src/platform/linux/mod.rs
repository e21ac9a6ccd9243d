//! The fast side, for Linux: sealed memory, packet sockets, process descriptors.

pub(super) mod channel;
pub(super) mod memory;
pub(super) mod process;
pub(super) mod worker;
