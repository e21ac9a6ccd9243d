//! Tests as data: what the sources say, and what comes of it.

use std::fs;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::{Config, ConfigError, Environment, Overrides, PluginConfig, Secret, Sources, read};

mod adopt;
mod documents;
mod faults;
mod jobs;
mod values;
mod variables;

/// The sources of one test.
#[derive(Default)]
struct Case<'a> {
    file: Option<&'a [u8]>,
    variables: &'a [(&'a str, &'a str)],
    overrides: Overrides,
}

impl Case<'_> {
    /// What differs from the built-in defaults, or the problem on one line.
    fn outcome(self) -> String {
        let folder = tempfile::tempdir().unwrap();
        if let Some(file) = self.file {
            fs::write(folder.path().join("bulkhead.toml"), file).unwrap();
        }
        let mut variables = vec![("HOME", "/home/me")];
        variables.extend(self.variables);
        let sources = Sources {
            config: None,
            folder: folder.path().to_owned(),
            environment: variables.into_iter().collect(),
            overrides: self.overrides,
        };
        let here = format!("{}/", folder.path().display());
        match read(&sources) {
            Ok(config) => differences(&config),
            Err(error) => {
                // What miette cannot place in the file, it says so instead of failing.
                let report = report(&error);
                assert!(!report.contains("Failed to read"), "{report}");
                error.one_line().replace(&here, "")
            }
        }
    }
}

#[track_caller]
fn check(file: &str, variables: &[(&str, &str)], expected: &str) {
    let case = Case {
        file: Some(file.as_bytes()),
        variables,
        ..Case::default()
    };
    assert_eq!(case.outcome(), expected, "\n{file}\n{variables:?}");
}

/// The cases of a text in which each takes two lines.
fn pairs(table: &str) -> Vec<(&str, &str)> {
    let mut lines = table.trim().lines();
    let mut pairs = Vec::new();
    while let Some(case) = lines.next() {
        pairs.push((case, lines.next().unwrap()));
    }
    pairs
}

fn report(error: &ConfigError) -> String {
    let mut report = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .render_report(&mut report, error)
        .unwrap();
    report
}

fn differences(config: &Config) -> String {
    let built_in = Config::built_in("/home/me/.local/state/bulkhead".into());
    changes(&built_in, config)
}

fn changes(before: &Config, after: &Config) -> String {
    let before = shown(before);
    let lines = shown(after).into_iter();
    let changed: Vec<_> = lines.filter(|line| !before.contains(line)).collect();
    changed.join("; ")
}

fn shown(config: &Config) -> Vec<String> {
    let Config {
        state,
        server,
        access,
        plugins,
        workers,
        jobs,
        log,
        telemetry,
    } = config;
    let mut lines = vec![
        format!("state={}", state.display()),
        format!("listen={}", server.listen),
        format!("insecure={}", server.insecure),
        format!("socket={:?}", server.socket),
        format!("socket_mode={}", server.socket_mode),
        format!("names={:?}", server.hosts),
        format!("tls={:?}", server.tls),
        format!("connections={}", server.connections),
        format!("max_head={}", server.max_head),
        format!("header_timeout={}", server.header_timeout),
        format!("body_timeout={}", server.body_timeout),
        format!("send_timeout={}", server.send_timeout),
        format!("compression={}", server.compression),
        format!("tokens={:?}", access.tokens),
        format!("loopback={:?}", access.loopback),
        format!("rate={}", access.rate),
        format!("burst={}", access.burst),
        format!("max_body={}", server.max_body),
        format!("max_in_flight={}", server.max_in_flight),
        format!("max_pixels={}", server.max_pixels),
        format!("drain={}", server.drain),
        format!("dir={}", plugins.dir.display()),
        format!("default={}", plugins.default),
        format!("preload={}", plugins.preload),
        format!("watch={}", plugins.watch),
        format!("settle={}", plugins.settle),
        format!("rescan={}", plugins.rescan),
        format!("keep={}", plugins.keep),
        format!("platform={:?}", workers.platform),
        format!("sandbox={:?}", workers.sandbox),
        format!("spares={}", workers.spares),
        format!("uids={}", workers.uids),
        format!("store={:?}", jobs.store),
        format!("payloads={:?}", jobs.payloads),
        format!("postgres_ca={:?}", jobs.postgres_ca),
        format!("age={}", jobs.retention.age),
        format!("count={}", jobs.retention.count),
        format!("unused={}", jobs.retention.payloads),
        format!("attempts={}", jobs.attempts),
        format!("backoff={}", jobs.backoff),
        format!("lease={}", jobs.lease),
        format!("patience={}", jobs.patience),
        format!("hosts={:?}", jobs.callbacks.hosts),
        format!(
            "secret={:?}",
            jobs.callbacks.secret.as_ref().map(Secret::key)
        ),
        format!("internal={}", jobs.callbacks.internal),
        format!("callback_attempts={}", jobs.callbacks.attempts),
        format!("timeout={}", jobs.callbacks.timeout),
        format!("s3={:?}", jobs.s3),
        format!("level={}", log.level),
        format!("format={:?}", log.format),
        format!("otlp={:?}", telemetry.otlp),
        format!("sample={}", telemetry.sample),
    ];
    lines.extend(plugin_lines(&plugins.defaults));
    for name in plugins.named.keys() {
        let own = plugin_lines(&config.plugin(name)).into_iter();
        let defaults = plugin_lines(&plugins.defaults);
        let changed = own.filter(|line| !defaults.contains(line));
        lines.extend(changed.map(|line| format!("{name}:{line}")));
    }
    lines
}

fn plugin_lines(plugin: &PluginConfig) -> [String; 25] {
    [
        format!("lane={:?}", plugin.lane),
        format!("deadline={}", plugin.deadline),
        format!("concurrency={}", plugin.concurrency),
        format!("queue={}", plugin.queue),
        format!("inline={}", plugin.inline),
        format!("required={}", plugin.required),
        format!("settings={}", plugin.settings),
        format!("max_output={}", plugin.max_output),
        format!("check_output={}", plugin.check_output),
        format!("memory={}", plugin.memory),
        format!("open_files={}", plugin.open_files),
        format!("file_size={}", plugin.file_size),
        format!("tasks={}", plugin.tasks),
        format!("threads={}", plugin.threads),
        format!("warm={}", plugin.warm),
        format!("startup={}", plugin.startup),
        format!("idle={}", plugin.idle),
        format!("recycle={}", plugin.recycle),
        format!("grace={}", plugin.grace),
        format!("canary={}", plugin.canary),
        format!("canary_window={}", plugin.canary_window),
        format!("network={}", plugin.network),
        format!("read={:?}", plugin.read),
        format!("write={:?}", plugin.write),
        format!("env={:?}", plugin.env),
    ]
}
