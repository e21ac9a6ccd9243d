//! The Linux side of the interface.

mod landlock;
mod limits;
mod prove;
mod sandbox;
mod seccomp;
mod user;

pub(super) use prove::prove;
pub(super) use sandbox::confine;
