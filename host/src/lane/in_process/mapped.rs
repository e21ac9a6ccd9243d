//! Which builds are mapped into the host's own process. A library of Rust's is never let go: its thread-locals, its
//! threads and what it has told the system may outlive every call.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::loader::Rejection;
use crate::names::{Digest, PluginName};

/// The most builds of one plugin: each keeps about half a megabyte, and some of the system's 1,024 keys for
/// thread-locals.
const MOST: usize = 64;

/// The builds of every plugin that are mapped, or were tried to.
#[derive(Debug, Default)]
pub struct Mapped(Mutex<HashMap<PluginName, HashSet<Digest>>>);

impl Mapped {
    /// Notes that a build is about to be mapped; one that is already costs nothing more.
    ///
    /// # Errors
    /// `restart_required` where as many builds of the plugin as may be are mapped.
    pub fn claim(&self, plugin: &PluginName, build: Digest) -> Result<(), Rejection> {
        let mut mapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let builds = mapped.entry(plugin.clone()).or_default();
        if builds.len() >= MOST && !builds.contains(&build) {
            let generations = builds.len();
            return Err(Rejection::RestartRequired { generations });
        }
        builds.insert(build);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rl_08_of_one_plugin_so_many_builds_are_mapped_and_no_more() {
        let mapped = Mapped::default();
        let claim = |plugin: &str, build: usize| {
            let bytes = std::array::from_fn(|_| u8::try_from(build).unwrap());
            let plugin = PluginName::parse(plugin).unwrap();
            mapped.claim(&plugin, Digest::new(bytes))
        };
        (0..MOST).for_each(|build| claim("a", build).unwrap());
        let generations = MOST;
        let refused = Err(Rejection::RestartRequired { generations });
        assert_eq!(claim("a", MOST), refused);
        assert_eq!(claim("a", 0), Ok(()), "it is mapped already");
        assert_eq!(claim("b", MOST), Ok(()), "it is another plugin");
    }
}
