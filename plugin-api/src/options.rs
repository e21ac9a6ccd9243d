//! Options for plugins that take none.

use schemars::JsonSchema;
use serde::Deserialize;

/// The [`Options`](crate::Plugin::Options) of a plugin that takes none: whatever a caller sends is
/// refused by name.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
