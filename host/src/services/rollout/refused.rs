//! What is told of files that are not served: once, when it begins.

use std::collections::HashMap;

use tracing::warn;

use super::reconciler::Reconciler;
use crate::events::{Event, Kind};
use crate::loader::{Refused, Scan};
use crate::names::PluginName;
use crate::registry::{Lifecycle, RefusedStatus};

impl Reconciler {
    pub(super) fn tell_refused(&mut self, scan: &Scan) {
        let told = std::mem::take(&mut self.told);
        let refused = scan.refused.iter().map(|it| (it, Kind::Rejected));
        let held = scan.held.iter().map(|it| (it, Kind::Held));
        for (refused, kind) in refused.chain(held) {
            let line = (refused.file.clone(), refused.rejection.explain());
            if !told.contains(&line) {
                self.common.tell(refusal(kind, refused));
            }
            self.told.push(line);
        }
        let refused = scan.refused.iter().map(|refused| RefusedStatus {
            file: refused.file.clone(),
            name: refused.plugin.clone(),
            lifecycle: Lifecycle::Rejected,
            reason: refused.rejection.explain(),
        });
        self.common.host.registry.set_refused(refused.collect());
    }

    /// Shows with each plugin whether its file, as it is now, is refused.
    pub(super) fn note_held(&self, scan: &Scan) {
        let files: HashMap<_, _> = scan.held.iter().map(|held| (&held.file, held)).collect();
        for staged in &scan.staged {
            let held = files.get(&staged.file_name);
            if let Some(handle) = self.rollouts.get(&staged.manifest.name) {
                let reason = held.map(|held| held.rejection.explain());
                handle.plugin.set_file_invalid(reason);
            }
        }
    }

    pub(super) fn warn_of_missing(&self, scan: &Scan) {
        let running = self.common.running();
        let plugins = &running.plugins;
        let is_found = |name: &&PluginName| {
            let mut staged = scan.staged.iter();
            staged.any(|staged| staged.manifest.name == **name)
        };
        let configured = plugins.named.keys().chain([&plugins.default]);
        for name in configured.filter(|name| !is_found(name)) {
            let plugin = name.as_str();
            warn!(
                plugin,
                "the configuration names a plugin that the folder does not have"
            );
        }
    }
}

fn refusal(kind: Kind, refused: &Refused) -> Event {
    let event = Event::of(kind)
        .file(&refused.file)
        .reason(refused.rejection.explain());
    match &refused.plugin {
        Some(plugin) => event.plugin(plugin),
        None => event,
    }
}
