//! What a plugin is to be: a build, and how the operator wants it treated.

use std::sync::Arc;

use crate::config::PluginConfig;
use crate::loader::Staged;
use crate::registry::Generation;

/// A build and its settings.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) staged: Arc<Staged>,
    pub(super) config: PluginConfig,
}

impl Wish {
    /// Whether a generation is what is wished.
    pub(super) fn is_met_by(&self, generation: &Generation) -> bool {
        generation.declaration().digest == self.staged.digest && *generation.config() == self.config
    }
}

impl PartialEq for Wish {
    fn eq(&self, other: &Self) -> bool {
        self.staged.digest == other.staged.digest && self.config == other.config
    }
}
