//! What is told of files that are not served: once, when it begins.

use std::collections::HashMap;

use tracing::warn;

use super::reconciler::{Handle, Reconciler};
use crate::events::{Event, Kind};
use crate::loader::{Refused, Rejection, Scan};
use crate::names::PluginName;
use crate::registry::{Lifecycle, RefusedStatus};

impl Reconciler {
    pub(super) fn tell_refused(&mut self, scan: &Scan) {
        let told = std::mem::take(&mut self.told);
        let refused = scan.refused.iter().map(|it| (it, Kind::Rejected));
        let held = scan.held.iter().map(|it| (it, Kind::Held));
        for (refused, kind) in refused.chain(held).filter(|(it, _)| !is_being_written(it)) {
            // What may pass is tried again and again, and may be told in other words each time.
            let rejection = &refused.rejection;
            let reason = match rejection.is_passing() {
                true => rejection.reason().to_owned(),
                false => rejection.explain(),
            };
            let line = (refused.file.clone(), reason);
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

    /// A refused file whose last good content serves, from this host's copies of an earlier time, is held.
    pub(super) fn hold(&self, scan: &mut Scan) {
        let serves = |refused: &mut Refused| {
            let is_duplicate = matches!(refused.rejection, Rejection::DuplicateName { .. });
            !is_duplicate
                && self.rollouts.iter().any(|(name, handle)| {
                    let mut staged = scan.staged.iter();
                    handle.file() == refused.file && !staged.any(|it| it.manifest.name == *name)
                })
        };
        let held: Vec<_> = scan.refused.extract_if(.., serves).collect();
        scan.held.extend(held);
    }

    /// Whether the file of a plugin is there, and refused.
    pub(super) fn is_held(&self, name: &PluginName, scan: &Scan) -> bool {
        let file = self.rollouts.get(name).map(Handle::file);
        scan.held
            .iter()
            .any(|held| Some(&held.file) == file.as_ref())
    }

    /// Shows with each plugin what its file is called, and whether it is refused as it is now.
    pub(super) fn note_held(&self, scan: &Scan) {
        let files: HashMap<_, _> = scan.held.iter().map(|held| (&held.file, held)).collect();
        for handle in self.rollouts.values() {
            let file = handle.file();
            let held = files.get(&file);
            handle.plugin.set_file(&file);
            let held = held.filter(|held| !is_being_written(held));
            let reason = held.map(|held| held.rejection.explain());
            handle.plugin.set_file_invalid(reason);
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

/// What comes of it is seen when it is still.
fn is_being_written(refused: &Refused) -> bool {
    refused.rejection == Rejection::ChangedWhileReading
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
