//! What is held against a call: its input before it runs, its options against the plugin's schema,
//! its output before anybody gets it. Knows no plugin, only what one has declared.

mod image;
mod input;
mod options;
mod output;
mod schema;

pub use input::{InputLimits, input};
pub use options::OptionsSchema;
pub use output::{Output, OutputRules, SchemaCheck};
pub use schema::BadSchema;
