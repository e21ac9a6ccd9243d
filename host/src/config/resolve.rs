//! Makes one `Config` of the built-in defaults and of what each source says. Knows no source.

use std::path::PathBuf;
use std::sync::Arc;

use super::layer::{JobsKeys, Layer, LogKeys, PluginKeys, PluginsKeys, ServerKeys};
use super::scalar::Name;
use super::within::Within;
use super::{Config, Jobs, Log, PluginConfig, Plugins, Server};

/// The weakest of `layers` comes first.
pub(super) fn resolve(layers: &[Layer], state: PathBuf) -> Config {
    let mut config = Config::built_in(state);
    for layer in layers {
        config.server.overlay(&layer.server);
        config.plugins.overlay(&layer.plugins);
        config.jobs.overlay(&layer.jobs);
        config.log.overlay(&layer.log);
    }
    // Only now are the defaults complete that a plugin's own keys lie upon.
    for layer in layers {
        config.plugins.overlay_named(layer);
    }
    config
}

impl Server {
    fn overlay(&mut self, keys: &ServerKeys) {
        set(&mut self.listen, keys.listen.map(|address| address.0));
        set(&mut self.insecure, keys.insecure);
        set(&mut self.max_body, value(keys.max_body));
        set(&mut self.max_pixels, value(keys.max_pixels));
        set(&mut self.drain, value(keys.drain));
    }
}

impl Plugins {
    fn overlay(&mut self, keys: &PluginsKeys) {
        let default = keys.default.clone();
        set(&mut self.dir, keys.dir.clone());
        set(&mut self.default, default.map(|name| name.0));
        set(&mut self.preload, count(keys.preload));
        self.defaults.overlay(&keys.defaults);
    }

    fn overlay_named(&mut self, layer: &Layer) {
        for (Name(name), keys) in &layer.plugin {
            let plugin = self.named.entry(name.clone());
            plugin
                .or_insert_with(|| self.defaults.clone())
                .overlay(keys);
        }
    }
}

impl PluginConfig {
    fn overlay(&mut self, keys: &PluginKeys) {
        let settings = keys.settings.clone();
        set(&mut self.lane, keys.lane);
        set(&mut self.deadline, value(keys.deadline));
        set(&mut self.concurrency, count(keys.concurrency));
        set(&mut self.queue, count(keys.queue));
        set(&mut self.inline, keys.inline);
        set(&mut self.required, keys.required);
        // Replaced whole, as any other key: half of one plugin's settings would make no sense to another.
        set(&mut self.settings, settings.map(|json| Arc::new(json.0)));
        set(&mut self.max_output, value(keys.max_output));
        set(&mut self.check_output, keys.check_output);
    }
}

impl Jobs {
    fn overlay(&mut self, keys: &JobsKeys) {
        set(&mut self.retention.age, value(keys.retention.age));
        set(&mut self.retention.count, count(keys.retention.count));
    }
}

impl Log {
    fn overlay(&mut self, keys: &LogKeys) {
        let level = keys.level.clone();
        set(&mut self.level, level.map(|level| level.0));
        set(&mut self.format, keys.format);
    }
}

fn set<T>(setting: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *setting = said;
    }
}

fn value<T, const MIN: u64, const MAX: u64>(within: Option<Within<T, MIN, MAX>>) -> Option<T> {
    within.map(|within| within.0)
}

fn count<const MIN: u64, const MAX: u64>(within: Option<Within<u64, MIN, MAX>>) -> Option<usize> {
    value(within).map(|count| usize::try_from(count).expect("limits of counts fit 32 bits"))
}
