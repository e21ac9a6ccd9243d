//! Settings as values of the file: what somebody could have written to get them. Secrets are stars.
//!
//! Every struct is taken apart with all its fields: a new setting must be told here, or this does not compile.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::config::{
    Access, Callbacks, Config, HostPattern, Jobs, Log, PayloadPlace, PluginConfig, Plugins,
    Retention, Server, StorePlace, Telemetry, Tls, Workers,
};

/// What a value is shown as that nobody may see.
const HIDDEN: &str = "***";

/// Keys of plugins' own settings whose text may be a secret.
const SECRETS: [&str; 5] = ["secret", "password", "token", "credential", "key"];

/// All settings; what is not set is not there.
pub(super) fn of(config: &Config) -> Table {
    let Config {
        state: _,
        server,
        access,
        plugins,
        workers,
        jobs,
        log,
        telemetry,
    } = config;
    let named = plugins.named.iter();
    let named = named.map(|(name, plugin)| (name.to_string(), Value::Table(plugin.table())));
    Table::from_iter([
        ("server".to_owned(), Value::Table(server.table())),
        ("access".to_owned(), Value::Table(access.table())),
        ("plugins".to_owned(), Value::Table(plugins.table())),
        ("plugin".to_owned(), Value::Table(named.collect())),
        ("workers".to_owned(), Value::Table(workers.table())),
        ("jobs".to_owned(), Value::Table(jobs.table())),
        ("log".to_owned(), Value::Table(log.table())),
        ("telemetry".to_owned(), Value::Table(telemetry.table())),
    ])
}

/// The value of the key at `path`.
pub(super) fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (name, tables) = path.split_last()?;
    let table = tables
        .iter()
        .try_fold(table, |table, name| table.get(*name)?.as_table());
    table?.get(*name)
}

impl Server {
    fn table(&self) -> Table {
        let Self {
            listen,
            socket,
            socket_mode,
            insecure,
            hosts,
            tls,
            connections,
            max_head,
            header_timeout,
            body_timeout,
            send_timeout,
            compression,
            max_body,
            max_in_flight,
            max_pixels,
            drain,
        } = self;
        table([
            ("listen", text(listen)),
            ("socket", path(socket.as_ref())),
            ("socket_mode", text(socket_mode)),
            ("insecure", flag(*insecure)),
            ("hosts", patterns(hosts)),
            ("tls", Some(Value::Table(tls.table()))),
            ("connections", count(*connections)),
            ("max_head", text(max_head)),
            ("header_timeout", text(header_timeout)),
            ("body_timeout", text(body_timeout)),
            ("send_timeout", text(send_timeout)),
            ("compression", flag(*compression)),
            ("max_body", text(max_body)),
            ("max_in_flight", text(max_in_flight)),
            ("max_pixels", count(*max_pixels)),
            ("drain", text(drain)),
        ])
    }
}

impl Tls {
    fn table(&self) -> Table {
        let Self { certificate, key } = self;
        table([
            ("certificate", path(certificate.as_ref())),
            ("key", path(key.as_ref())),
        ])
    }
}

impl Access {
    fn table(&self) -> Table {
        let Self {
            tokens,
            loopback,
            rate,
            burst,
        } = self;
        table([
            ("tokens", path(tokens.as_ref())),
            ("loopback", word(loopback)),
            ("rate", count(*rate)),
            ("burst", count(*burst)),
        ])
    }
}

impl Plugins {
    fn table(&self) -> Table {
        let Self {
            dir,
            default,
            preload,
            watch,
            settle,
            rescan,
            keep,
            defaults,
            named: _,
        } = self;
        table([
            ("dir", path(Some(dir))),
            ("default", text(default)),
            ("preload", count(*preload)),
            ("watch", flag(*watch)),
            ("settle", text(settle)),
            ("rescan", text(rescan)),
            ("keep", count(*keep)),
            ("defaults", Some(Value::Table(defaults.table()))),
        ])
    }
}

impl PluginConfig {
    fn table(&self) -> Table {
        let Self {
            lane,
            deadline,
            concurrency,
            queue,
            inline,
            required,
            settings,
            max_output,
            check_output,
            memory,
            open_files,
            file_size,
            tasks,
            threads,
            warm,
            startup,
            idle,
            recycle,
            grace,
            canary,
            canary_window,
            network,
            read,
            write,
            env,
        } = self;
        table([
            ("lane", Some(Value::from(lane.as_str()))),
            ("deadline", text(deadline)),
            ("concurrency", count(*concurrency)),
            ("queue", count(*queue)),
            ("inline", flag(*inline)),
            ("required", flag(*required)),
            ("settings", handed(settings)),
            ("max_output", text(max_output)),
            ("check_output", flag(*check_output)),
            ("memory", text(memory)),
            ("open_files", count(*open_files)),
            ("file_size", text(file_size)),
            ("tasks", count(*tasks)),
            ("threads", count(*threads)),
            ("warm", count(*warm)),
            ("startup", text(startup)),
            ("idle", text(idle)),
            ("recycle", count(*recycle)),
            ("grace", text(grace)),
            ("canary", count(*canary)),
            ("canary_window", text(canary_window)),
            ("network", flag(*network)),
            ("read", list(read.iter().map(|it| shown(it)))),
            ("write", list(write.iter().map(|it| shown(it)))),
            // Their values may be secrets, and belong to no file.
            ("env", list(env.keys().cloned())),
        ])
    }
}

impl Workers {
    fn table(&self) -> Table {
        let Self {
            platform,
            sandbox,
            spares,
            uids,
        } = self;
        table([
            ("platform", word(platform)),
            ("sandbox", word(sandbox)),
            ("spares", count(*spares)),
            ("uids", text(uids)),
        ])
    }
}

impl Jobs {
    fn table(&self) -> Table {
        let Self {
            store,
            payloads,
            postgres_ca,
            retention,
            attempts,
            backoff,
            lease,
            patience,
            callbacks,
            s3: _,
        } = self;
        let store = match store {
            StorePlace::Sqlite => "sqlite".to_owned(),
            StorePlace::Postgres(url) => url.to_string(),
        };
        let payloads = match payloads {
            PayloadPlace::Files => "files".to_owned(),
            PayloadPlace::Folder(folder) => shown(folder),
            PayloadPlace::Database => "database".to_owned(),
            PayloadPlace::S3(url) => url.clone(),
        };
        table([
            ("store", text(store)),
            ("payloads", text(payloads)),
            ("postgres_ca", path(postgres_ca.as_ref())),
            ("retention", Some(Value::Table(retention.table()))),
            ("attempts", count(*attempts)),
            ("backoff", text(backoff)),
            ("lease", text(lease)),
            ("patience", text(patience)),
            ("callbacks", Some(Value::Table(callbacks.table()))),
        ])
    }
}

impl Retention {
    fn table(&self) -> Table {
        let Self {
            age,
            count: most,
            payloads,
        } = self;
        table([
            ("age", text(age)),
            ("count", count(*most)),
            ("payloads", text(payloads)),
        ])
    }
}

impl Callbacks {
    fn table(&self) -> Table {
        let Self {
            hosts,
            secret,
            internal,
            attempts,
            timeout,
        } = self;
        table([
            ("hosts", patterns(hosts)),
            ("secret", secret.as_ref().map(|_| Value::from(HIDDEN))),
            ("internal", flag(*internal)),
            ("attempts", count(*attempts)),
            ("timeout", text(timeout)),
        ])
    }
}

impl Log {
    fn table(&self) -> Table {
        let Self { level, format } = self;
        table([("level", text(level)), ("format", word(format))])
    }
}

impl Telemetry {
    fn table(&self) -> Table {
        let Self { otlp, sample } = self;
        let otlp = otlp
            .as_ref()
            .map(|collector| Value::from(collector.as_str()));
        table([("otlp", otlp), ("sample", count(*sample))])
    }
}

fn table<const N: usize>(keys: [(&str, Option<Value>); N]) -> Table {
    let set = keys.into_iter();
    set.filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}

fn text(value: impl ToString) -> Option<Value> {
    Some(Value::from(value.to_string()))
}

fn flag(value: bool) -> Option<Value> {
    Some(Value::from(value))
}

/// Limits of counts fit what TOML counts with.
fn count<N: TryInto<i64>>(value: N) -> Option<Value> {
    value.try_into().ok().map(Value::from)
}

/// One of several words, by the name that the file has for it.
fn word(value: &impl Serialize) -> Option<Value> {
    Value::try_from(value).ok()
}

fn path(path: Option<&PathBuf>) -> Option<Value> {
    path.map(|path| Value::from(shown(path)))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn patterns(hosts: &[HostPattern]) -> Option<Value> {
    list(hosts.iter().map(ToString::to_string))
}

fn list(items: impl Iterator<Item = String>) -> Option<Value> {
    Some(Value::Array(items.map(Value::from).collect()))
}

/// A plugin's own settings, of which only the names of keys say what may be secret.
fn handed(settings: &Json) -> Option<Value> {
    let mut settings = Value::try_from(settings).ok()?;
    mask(&mut settings, false);
    Some(settings)
}

fn mask(value: &mut Value, is_secret: bool) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let key = key.to_ascii_lowercase();
                mask(
                    value,
                    is_secret || SECRETS.iter().any(|it| key.contains(it)),
                );
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|value| mask(value, is_secret)),
        value if is_secret => *value = Value::from(HIDDEN),
        _ => {}
    }
}
