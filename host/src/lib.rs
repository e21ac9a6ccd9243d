//! Bulkhead: a plugin host that a plugin cannot sink.
//!
//! The modules in reading order; each says in its head what it owns and what it must not know.

pub mod access;
pub mod app;
pub mod budget;
pub mod call;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod envelope;
pub mod error;
pub mod events;
#[cfg(feature = "failpoints")]
mod failpoints;
pub mod histogram;
pub mod http;
pub mod jobs;
pub mod lane;
pub mod loader;
pub mod names;
#[cfg(feature = "otlp")]
mod otlp;
pub mod platform;
mod record;
pub mod registry;
pub mod runner;
pub mod services;
pub mod trace;
pub mod validation;
pub mod watcher;
