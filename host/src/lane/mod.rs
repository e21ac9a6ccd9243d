//! Where plugins' code runs: in workers, or in the host's own process.

mod failure;
pub mod in_process;
mod instances;
mod plugin_log;
pub mod worker;

use std::sync::Arc;

use serde_json::Value;

use crate::call::Lane;

/// A plugin that is ready to be called.
pub struct Ready {
    /// The way in.
    pub lane: Arc<dyn Lane>,
    /// The schema of its options.
    pub options_schema: Value,
    /// The schema of its output.
    pub output_schema: Value,
    /// Whether output is written from the type that its schema was made from.
    pub typed_output: bool,
    /// Whether the lane itself holds options and output to the plugin's schemas, where it can end a
    /// check that takes too long.
    pub checks_schemas: bool,
}
