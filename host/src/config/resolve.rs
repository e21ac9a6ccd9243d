//! Makes one `Config` of the built-in defaults and of what each source says. Knows no source.

use std::path::PathBuf;
use std::sync::Arc;

use super::grants::AbsolutePath;
use super::layer::{
    AccessKeys, CallbacksKeys, JobsKeys, Layer, LogKeys, PluginKeys, PluginsKeys, RetentionKeys,
    ServerKeys, TelemetryKeys, WorkersKeys,
};
use super::scalar::Name;
use super::within::Within;
use super::{
    Access, Callbacks, Config, ConfigError, Environment, Jobs, Log, PayloadPlace, PluginConfig,
    Plugins, Retention, Server, StorePlace, Telemetry, Workers,
};

/// The weakest of `layers` comes first. Of `environment` are the values of what plugins are handed.
pub(super) fn resolve(
    layers: &[Layer],
    state: PathBuf,
    environment: &Environment,
) -> Result<Config, ConfigError> {
    let mut config = Config::built_in(state);
    for layer in layers {
        config.server.overlay(&layer.server);
        config.access.overlay(&layer.access);
        config.plugins.overlay(&layer.plugins, environment)?;
        config.workers.overlay(&layer.workers);
        config.jobs.overlay(&layer.jobs);
        config.log.overlay(&layer.log);
        config.telemetry.overlay(&layer.telemetry);
    }
    // Only now are the defaults complete that a plugin's own keys lie upon.
    for layer in layers {
        config.plugins.overlay_named(layer, environment)?;
    }
    config.jobs.complete(layers, environment)?;
    Ok(config)
}

impl Server {
    fn overlay(&mut self, keys: &ServerKeys) {
        set(&mut self.listen, keys.listen.map(|address| address.0));
        set(&mut self.socket, path(keys.socket.as_ref()).map(Some));
        set(&mut self.socket_mode, keys.socket_mode);
        set(&mut self.insecure, keys.insecure);
        set(&mut self.hosts, keys.hosts.clone());
        let tls = &keys.tls;
        set(
            &mut self.tls.certificate,
            path(tls.certificate.as_ref()).map(Some),
        );
        set(&mut self.tls.key, path(tls.key.as_ref()).map(Some));
        set(&mut self.connections, count(keys.connections));
        set(&mut self.max_head, value(keys.max_head));
        set(&mut self.header_timeout, value(keys.header_timeout));
        set(&mut self.body_timeout, value(keys.body_timeout));
        set(&mut self.send_timeout, value(keys.send_timeout));
        set(&mut self.compression, keys.compression);
        set(&mut self.max_body, value(keys.max_body));
        set(&mut self.max_in_flight, value(keys.max_in_flight));
        set(&mut self.max_pixels, value(keys.max_pixels));
        set(&mut self.drain, value(keys.drain));
    }
}

impl Access {
    fn overlay(&mut self, keys: &AccessKeys) {
        set(&mut self.tokens, path(keys.tokens.as_ref()).map(Some));
        set(&mut self.loopback, keys.loopback);
        set(&mut self.rate, number(keys.rate));
        set(&mut self.burst, number(keys.burst));
    }
}

impl Plugins {
    fn overlay(
        &mut self,
        keys: &PluginsKeys,
        environment: &Environment,
    ) -> Result<(), ConfigError> {
        let default = keys.default.clone();
        set(&mut self.dir, keys.dir.clone());
        set(&mut self.default, default.map(|name| name.0));
        set(&mut self.preload, count(keys.preload));
        set(&mut self.watch, keys.watch);
        set(&mut self.settle, value(keys.settle));
        set(&mut self.rescan, value(keys.rescan));
        set(&mut self.keep, count(keys.keep));
        self.defaults.overlay(&keys.defaults, environment)
    }

    fn overlay_named(
        &mut self,
        layer: &Layer,
        environment: &Environment,
    ) -> Result<(), ConfigError> {
        for (Name(name), keys) in &layer.plugin {
            let plugin = self.named.entry(name.clone());
            plugin
                .or_insert_with(|| self.defaults.clone())
                .overlay(keys, environment)?;
        }
        Ok(())
    }
}

impl PluginConfig {
    fn overlay(&mut self, keys: &PluginKeys, environment: &Environment) -> Result<(), ConfigError> {
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
        set(&mut self.canary, value(keys.canary));
        set(&mut self.canary_window, value(keys.canary_window));
        self.overlay_limits(keys);
        self.overlay_grants(keys, environment)
    }

    fn overlay_limits(&mut self, keys: &PluginKeys) {
        set(&mut self.memory, value(keys.memory));
        set(&mut self.open_files, value(keys.open_files));
        set(&mut self.file_size, value(keys.file_size));
        set(&mut self.tasks, value(keys.tasks));
        set(&mut self.threads, count(keys.threads));
        set(&mut self.warm, count(keys.warm));
        set(&mut self.startup, value(keys.startup));
        set(&mut self.idle, value(keys.idle));
        set(&mut self.recycle, value(keys.recycle));
        set(&mut self.grace, value(keys.grace));
    }

    /// Lists are replaced whole too: what is no longer written is no longer granted.
    fn overlay_grants(
        &mut self,
        keys: &PluginKeys,
        environment: &Environment,
    ) -> Result<(), ConfigError> {
        let env = keys.env.as_deref().map(|names| environment.handed(names));
        set(&mut self.network, keys.network);
        set(&mut self.read, paths(keys.read.as_deref()));
        set(&mut self.write, paths(keys.write.as_deref()));
        set(&mut self.env, env.transpose()?);
        Ok(())
    }
}

impl Workers {
    fn overlay(&mut self, keys: &WorkersKeys) {
        set(&mut self.platform, keys.platform);
        set(&mut self.sandbox, keys.sandbox);
        set(&mut self.spares, count(keys.spares));
        set(&mut self.uids, keys.uids);
    }
}

impl Jobs {
    fn overlay(&mut self, keys: &JobsKeys) {
        let postgres_ca = keys.postgres_ca.clone().map(|path| Some(path.0));
        set(&mut self.store, keys.store.clone());
        set(&mut self.payloads, keys.payloads.clone());
        set(&mut self.postgres_ca, postgres_ca);
        set(&mut self.attempts, number(keys.attempts));
        set(&mut self.backoff, value(keys.backoff));
        set(&mut self.lease, value(keys.lease));
        set(&mut self.patience, value(keys.patience));
        self.retention.overlay(&keys.retention);
        self.callbacks.overlay(&keys.callbacks);
    }

    /// What follows from the place of the jobs and of their payloads.
    fn complete(&mut self, layers: &[Layer], environment: &Environment) -> Result<(), ConfigError> {
        let is_said = layers.iter().any(|layer| layer.jobs.payloads.is_some());
        if !is_said && matches!(self.store, StorePlace::Postgres(_)) {
            self.payloads = PayloadPlace::Database;
        }
        if matches!(self.payloads, PayloadPlace::S3(_)) {
            self.s3 = environment.beginning_with("AWS_")?;
        }
        Ok(())
    }
}

impl Retention {
    fn overlay(&mut self, keys: &RetentionKeys) {
        set(&mut self.age, value(keys.age));
        set(&mut self.count, count(keys.count));
        set(&mut self.payloads, value(keys.payloads));
    }
}

impl Callbacks {
    fn overlay(&mut self, keys: &CallbacksKeys) {
        set(&mut self.hosts, keys.hosts.clone());
        set(&mut self.secret, keys.secret.clone().map(Some));
        set(&mut self.internal, keys.internal);
        set(&mut self.attempts, number(keys.attempts));
        set(&mut self.timeout, value(keys.timeout));
    }
}

impl Log {
    fn overlay(&mut self, keys: &LogKeys) {
        let level = keys.level.clone();
        set(&mut self.level, level.map(|level| level.0));
        set(&mut self.format, keys.format);
    }
}

impl Telemetry {
    fn overlay(&mut self, keys: &TelemetryKeys) {
        set(&mut self.otlp, keys.otlp.clone().map(Some));
        set(&mut self.sample, number(keys.sample));
    }
}

fn set<T>(setting: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *setting = said;
    }
}

fn path(path: Option<&AbsolutePath>) -> Option<PathBuf> {
    path.map(|path| path.0.clone())
}

fn paths(list: Option<&[AbsolutePath]>) -> Option<Vec<PathBuf>> {
    list.map(|list| list.iter().map(|path| path.0.clone()).collect())
}

fn value<T, const MIN: u64, const MAX: u64>(within: Option<Within<T, MIN, MAX>>) -> Option<T> {
    within.map(|within| within.0)
}

fn count<const MIN: u64, const MAX: u64>(within: Option<Within<u64, MIN, MAX>>) -> Option<usize> {
    value(within).map(|count| usize::try_from(count).expect("limits of counts fit 32 bits"))
}

fn number<const MIN: u64, const MAX: u64>(within: Option<Within<u64, MIN, MAX>>) -> Option<u32> {
    value(within).map(|number| u32::try_from(number).expect("limits of numbers fit 32 bits"))
}
