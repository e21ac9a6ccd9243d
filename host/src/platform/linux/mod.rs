//! The fast side, for Linux: sealed memory, packet sockets, process descriptors, and what shuts a
//! worker in and limits it.

mod cgroup;
pub(super) mod channel;
mod landlock;
mod lease;
mod limits;
pub(super) mod memory;
pub(super) mod process;
mod prove;
mod sandbox;
mod seccomp;
mod user;
pub(super) mod worker;

pub(super) use lease::has_writer;
pub(super) use prove::prove;
pub(super) use sandbox::confine;
