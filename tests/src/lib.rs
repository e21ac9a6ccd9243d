//! What the tests of the whole share: plugins built on demand, folders to put them into, and the
//! `bulkhead` binary, as a command and as a daemon. Knows the contract; of the host's code, `jobs` alone knows the
//! trait that it tests.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

pub mod builds;
pub mod c;
pub mod cli;
pub mod contract;
pub mod daemon;
pub mod disk;
pub mod events;
pub mod fixtures;
pub mod folder;
pub mod hosts;
pub mod http2;
pub mod inotify;
pub mod jobs;
pub mod lanes;
pub mod ledger;
pub mod load;
pub mod mutations;
pub mod openmetrics;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod relay;
pub mod reload;
pub mod source;
pub mod submit;
pub mod tools;
pub mod wait;
pub mod wire;
pub mod workers;
