//! Where plugins' code runs. One lane so far: in the host's own process.

pub mod in_process;
