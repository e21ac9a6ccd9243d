//! What a plugin is to be: a build, and how the operator wants it treated.

use std::sync::Arc;

use crate::config::PluginConfig;
use crate::loader::Staged;

/// A build and its settings.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) staged: Arc<Staged>,
    pub(super) config: PluginConfig,
}

impl PartialEq for Wish {
    fn eq(&self, other: &Self) -> bool {
        self.staged.digest == other.staged.digest && self.config == other.config
    }
}
