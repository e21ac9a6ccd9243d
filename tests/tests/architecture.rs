//! The rules of the design that no type and no lint keeps: which module may know which, and what
//! may stand in which file. Each rule is also held against code that breaks it.

use bulkhead_tests::fixtures::workspace;
use bulkhead_tests::source::{self, Source};

/// What each module of the host may name of the others, from the bottom to the top. A path admits
/// that item only, and what is in it. A folder of its own in the table is held to its own row.
const ALLOWED: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("error", &[]),
    ("budget", &["error"]),
    ("events", &["names"]),
    ("platform", &[]),
    ("dashboard", &[]),
    ("record", &[]),
    ("histogram", &[]),
    ("trace", &[]),
    // Sends what `trace` has, in a build that can.
    ("otlp", &["trace"]),
    ("failpoints", &[]),
    ("config", &["names"]),
    ("envelope", &["error", "names"]),
    // A file is told by its state from what it was.
    ("access", &["error", "names", "platform::Fingerprint"]),
    // The key to the door hangs where the door is kept.
    (
        "call",
        &["budget", "error", "names", "runner::Pass", "trace"],
    ),
    ("validation", &["call", "error"]),
    (
        "jobs",
        &["call", "envelope", "error", "names", "validation"],
    ),
    (
        "registry",
        &[
            "call",
            "config",
            "envelope",
            "error",
            "histogram",
            "names",
            "validation",
        ],
    ),
    (
        "runner",
        &[
            "call",
            "envelope",
            "error",
            "registry",
            "trace",
            "validation",
        ],
    ),
    ("loader", &["names", "platform"]),
    ("watcher", &["platform"]),
    (
        "lane",
        &["call", "config", "error", "loader", "names", "runner::Pass"],
    ),
    (
        "lane/worker",
        &[
            "call",
            "config",
            "error",
            "lane::Ready",
            "lane::failure",
            "lane::plugin_log",
            "loader",
            "names",
            "platform",
            "record",
            "runner::Pass",
        ],
    ),
    // What both sides of the channel say, and the side that believes nobody: they know no call.
    ("lane/worker/protocol", &["platform"]),
    (
        "lane/worker/serve",
        &[
            // A plugin's own schemas, which may take for ever to check, are checked where its code runs.
            "error",
            "lane::instances",
            "lane::worker::protocol",
            "loader",
            "platform",
            "validation",
        ],
    ),
    (
        "services",
        &[
            "budget",
            "call",
            "config",
            "envelope",
            "error",
            "events",
            "jobs",
            "lane",
            "loader",
            "names",
            // What tells one state of a file from another.
            "platform::Fingerprint",
            "record",
            "registry",
            "runner",
            "trace",
            "validation",
        ],
    ),
    (
        "http",
        &[
            "access",
            "budget",
            "call",
            "dashboard",
            "envelope",
            "error",
            "events",
            "histogram",
            "jobs",
            "names",
            // What the daemon takes of the system, for who watches it.
            "platform::ProcessUsage",
            "registry",
            "services",
            "trace",
        ],
    ),
    (
        "app",
        &[
            "access",
            "budget",
            "config",
            "events",
            "http",
            "jobs",
            "lane",
            "loader",
            // Where spans go, in a build that sends them.
            "otlp",
            // Which host this is, between two starts.
            "record",
            "registry",
            "runner",
            "services",
            "trace",
            "validation",
            "watcher",
        ],
    ),
    (
        "cli",
        &[
            // Works on the file with the tokens, beside a daemon.
            "access",
            "app",
            "call",
            "config",
            // Set when the daemon begins, in a build for tests.
            "failpoints::arm",
            // The words of the contract.
            "jobs::Priority",
            "jobs::Status",
            "loader",
            "names",
            "services",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// A text that may stand in some files only.
struct Rule {
    text: &'static str,
    /// Files, and folders with their slash.
    only_in: &'static [&'static str],
    /// What the text may be part of anywhere.
    but: &'static str,
}

const fn rule(text: &'static str, only_in: &'static [&'static str]) -> Rule {
    let but = "\0";
    Rule { text, only_in, but }
}

/// Where tasks, threads and processes begin: each is waited for, or ends with what it works for.
const SPAWNING: &[&str] = &[
    "app.rs",
    // What tells a service manager that the host lives ends with it.
    "app/service.rs",
    // The watcher and who follows it end when the host stops.
    "app/watch.rs",
    // Threads that share the work of one command, which waits for them.
    "cli/bench/local.rs",
    "cli/bench/remote.rs",
    "cli/jobs/crew.rs",
    // The daemon as a whole runs beside the main thread, which waits for signals.
    "cli/serve.rs",
    // Connections, and the requests of one that run beside each other: a stop waits for them.
    "http/server/carry.rs",
    "http/server/mod.rs",
    // The threads that own connections to the file: joined when the store is dropped.
    "jobs/sqlite/threads.rs",
    // Groups of writes, and notices: they end when the store is closed or dropped.
    "jobs/postgres/mod.rs",
    "lane/in_process/threads.rs",
    // Each worker is waited for in a task, so that the system can forget it when it has ended.
    "lane/worker/host.rs",
    // Ends with the pipe that it reads, which ends with the worker.
    "lane/worker/output.rs",
    // Workers are started in tasks, because a caller may leave; the one that tidies ends with its pool.
    "lane/worker/pool.rs",
    "lane/worker/process.rs",
    // One thread a seat, in the worker; each is joined.
    "lane/worker/serve.rs",
    "platform/linux/process.rs",
    // An attempt that may end its thread; joined.
    "platform/linux/prove/raw.rs",
    "platform/portable/process.rs",
    // Ends the worker when its host is gone.
    "platform/portable/worker.rs",
    "platform/process.rs",
    "runner.rs",
    // One task that ends when the host stops, and those in which it waits for who is told: they end with it.
    "services/callbacks/mod.rs",
    "services/callbacks/task.rs",
    // Those that claim, prolong, tell and tidy: they end when the host stops. A job that is run is handed back then.
    "services/jobs/dispatch.rs",
    "services/jobs/open.rs",
    "services/jobs/run.rs",
    // Records of analyses are written after the answer: the host waits for them when it stops.
    "services/jobs/tell.rs",
    // A task for each plugin, and one for each generation that drains: they end when the host stops.
    "services/rollout/arrival.rs",
    "services/rollout/drain.rs",
    "services/rollout/reconciler.rs",
];

/// Where work goes to threads that may block.
const BLOCKING: &[&str] = &[
    // A certificate that is elsewhere now is read.
    "app/adopted.rs",
    // A certificate is read again.
    "cli/serve.rs",
    // The file of the jobs is opened, checked and brought up to date.
    "app/jobs.rs",
    // What is left of traces is sent when the host stops.
    "app/traces.rs",
    // A look at the folder that somebody has asked for.
    "app/watch.rs",
    // The file with the tokens is looked at, at most once a second, and the functions of a backtrace are named.
    "http/access.rs",
    "http/held.rs",
    "http/tokens.rs",
    // A large body is decoded beside the threads that carry connections.
    "http/analyze/json.rs",
    // The system is asked for the memory of each worker.
    "http/metrics/mod.rs",
    // Files of payloads are written, brought to rest and read.
    "jobs/payloads/files/mod.rs",
    // Small files, once a plugin.
    "lane/worker/probe.rs",
    // Whoever is told of a job may be slow to answer.
    "services/callbacks/task.rs",
    // Large payloads are hashed.
    "services/jobs/payloads.rs",
    // The functions of a backtrace are named.
    "services/jobs/stored.rs",
    "services/jobs/tell.rs",
    "services/opening.rs",
    // An earlier build is read and hashed.
    "services/rollout/back.rs",
    // Small records, at most once a swap.
    "services/rollout/drain.rs",
    // Plugins' files are read and copied, and settings read again.
    "services/rollout/reconciler.rs",
    "services/rollout/settings.rs",
    "services/rollout/task.rs",
    // Listing a folder and asking for the writers of a file may take as long as the disk does.
    "watcher/task.rs",
];

/// Where threads of our own begin.
const THREADS: &[&str] = &[
    // SQLite's calls block, and each connection belongs to one thread.
    "jobs/sqlite/threads.rs",
    "lane/in_process/threads.rs",
    "lane/worker/serve.rs",
    "platform/linux/process.rs",
    "platform/portable/worker.rs",
];

/// Where other processes begin.
const PROCESSES: &[&str] = &["platform/linux/process.rs", "platform/portable/process.rs"];

/// Who asks the process's own environment and arguments, beside the configuration.
const ENVIRONMENT: &[&str] = &[
    "config/",
    // Where tests want the host to end, in a build for them.
    "failpoints.rs",
    // Where this binary is, to run it again.
    "platform/portable/process.rs",
    // Whether this process is a worker: it must know before it knows anything else.
    "platform/worker.rs",
];

const HOST: &[Rule] = &[
    rule("fn enter_unguarded(", &["call/", "lane/"]),
    Rule {
        but: "fn enter_unguarded(",
        ..rule("enter_unguarded(", &["runner.rs"])
    },
    rule("Pass(", &["runner.rs"]),
    rule("unsafe", &["platform/"]),
    rule("StatusCode", &["http/"]),
    rule("axum", &["http/"]),
    rule("hyper", &["http/"]),
    rule("libloading", &["platform/"]),
    rule("abi_stable", &["loader/"]),
    rule(
        "bulkhead_plugin",
        &["lane/", "loader/", "platform/library.rs"],
    ),
    // Which system this is stands in `std::env` too.
    Rule {
        but: "std::env::consts",
        ..rule("std::env", ENVIRONMENT)
    },
    // A worker whose host is gone has nobody to return to.
    rule("process::exit", &["platform/portable/worker.rs"]),
    rule("process::abort", &[]),
    rule("spawn(", SPAWNING),
    rule("spawn_blocking(", BLOCKING),
    rule("spawn_local(", &[]),
    rule("thread::Builder", THREADS),
    rule(
        "thread::scope",
        &["cli/bench/remote.rs", "cli/jobs/crew.rs"],
    ),
    rule("Command::new(", PROCESSES),
];

const PLUGIN_API: &[Rule] = &[rule("unsafe", &["abi/"]), rule("abi_stable", &["abi/"])];

#[test]
fn modules_know_only_what_lies_below_them() {
    let sources = source::below(&workspace().join("host/src"));
    let broken: Vec<_> = sources.iter().flat_map(layers).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn what_is_dangerous_stands_in_its_own_place() {
    let check = |folder, rules| {
        let sources = source::below(&workspace().join(folder));
        let broken: Vec<_> = sources.iter().flat_map(|it| places(it, rules)).collect();
        assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    };
    check("host/src", HOST);
    check("plugin-api/src", PLUGIN_API);
}

/// The plugin whose purpose is what safe code cannot do. (`twin` is the same code, by another name.)
const UNSAFE_ON_PURPOSE: &str = "faults/";

#[test]
fn our_plugins_forbid_unsafe_code() {
    for folder in ["plugins", "tests/fixtures"] {
        let sources = source::below(&workspace().join(folder));
        let roots = sources.iter().filter(|it| it.path.ends_with("src/lib.rs"));
        for root in roots.filter(|it| !it.path.starts_with(UNSAFE_ON_PURPOSE)) {
            let forbids = root.code.contains("#![forbid(unsafe_code)]");
            assert!(forbids, "{folder}/{} does not", root.path);
        }
    }
}

#[test]
fn no_rule_is_wider_than_it_must_be() {
    let sources = source::below(&workspace().join("host/src"));
    let mut spare = Vec::new();
    for rule in HOST {
        let stands =
            |home: &str, it: &Source| is_in(home, &it.path) && !it.lines_with(rule.text).is_empty();
        let homes = rule.only_in.iter();
        let unused = homes.filter(|home| !sources.iter().any(|it| stands(home, it)));
        spare.extend(unused.map(|home| format!("nothing in {home} says `{}`", rule.text)));
    }
    for (place, allowed) in ALLOWED {
        let theirs = sources.iter().filter(|it| row(&it.path).0 == *place);
        let named: Vec<_> = theirs.flat_map(Source::crate_paths).collect();
        let is_named = |item: &str| named.iter().any(|(_, used)| is_below(used, item));
        let unused = allowed.iter().filter(|item| !is_named(item));
        spare.extend(unused.map(|item| format!("{place} does not use crate::{item}")));
    }
    assert!(spare.is_empty(), "\n{}", spare.join("\n"));
}

#[test]
fn an_arrow_that_points_up_is_seen() {
    let check = |path, text, expected: &[&str]| {
        assert_eq!(layers(&Source::new(path, text)), expected, "{path}: {text}");
    };
    check("registry/mod.rs", "use crate::call::Lane;", &[]);
    check(
        "registry/mod.rs",
        "use crate::http::Limits;",
        &["registry/mod.rs:1: uses crate::http::Limits"],
    );
    check(
        "registry/plugin.rs",
        "\nuse crate::{call::Call, services::{JobManagementService, PluginManagementService}};",
        &[
            "registry/plugin.rs:2: uses crate::services::JobManagementService",
            "registry/plugin.rs:2: uses crate::services::PluginManagementService",
        ],
    );
    check(
        "registry/plugin.rs",
        "use super::super::runner::ToolRunner; use super::status::Lifecycle;",
        &["registry/plugin.rs:1: uses crate::runner::ToolRunner"],
    );
    check("lane/in_process/mod.rs", "use crate::runner::Pass;", &[]);
    check(
        "lane/in_process/mod.rs",
        "use crate::platform::Process;",
        &["lane/in_process/mod.rs:1: uses crate::platform::Process"],
    );
    check("lane/worker/mod.rs", "use crate::platform::Process;", &[]);
    check(
        "lane/worker/mod.rs",
        "use crate::lane::in_process::open;",
        &["lane/worker/mod.rs:1: uses crate::lane::in_process::open"],
    );
    check(
        "lane/worker/serve/seat.rs",
        "use crate::{call::Call, lane::worker::{pool::Pool, protocol}};",
        &[
            "lane/worker/serve/seat.rs:1: uses crate::call::Call",
            "lane/worker/serve/seat.rs:1: uses crate::lane::worker::pool::Pool",
        ],
    );
    check(
        "call/lane.rs",
        "use crate::runner::{Pass, ToolRunner};",
        &["call/lane.rs:1: uses crate::runner::ToolRunner"],
    );
    check(
        "runner.rs",
        "fn f() -> crate::loader::Scan { todo!() }",
        &["runner.rs:1: uses crate::loader::Scan"],
    );
    check(
        "runner.rs",
        "#[cfg(test)]\nmod tests { use crate::app::App; }",
        &[],
    );
    check("runner.rs", "// crate::app starts it", &[]);
    check(
        "spare.rs",
        "",
        &["spare.rs:1: `spare` has no place in the table of modules"],
    );
}

#[test]
fn what_stands_in_a_wrong_place_is_seen() {
    let check = |path: &str, text, expected: &[&str]| {
        let found = places(&Source::new(path, text), HOST);
        let expected: Vec<_> = expected
            .iter()
            .map(|it| format!("{path}:1: {it}"))
            .collect();
        assert_eq!(found, expected, "{path}: {text}");
    };
    let enters = "lane.enter_unguarded(call, permit, pass)";
    check("runner.rs", enters, &[]);
    check("services/plugins.rs", enters, &["`enter_unguarded(`"]);
    check("lane/in_process/mod.rs", enters, &["`enter_unguarded(`"]);
    let defines = "fn enter_unguarded(&self)";
    check("lane/in_process/mod.rs", defines, &[]);
    check("services/plugins.rs", defines, &["`fn enter_unguarded(`"]);
    check("services/plugins.rs", "Pass(())", &["`Pass(`"]);
    check("services/plugins.rs", "ByPass(())", &[]);
    check("registry/plugin.rs", "unsafe { x() }", &["`unsafe`"]);
    check("registry/plugin.rs", "#![deny(unsafe_code)] // unsafe", &[]);
    check("envelope.rs", "StatusCode::OK", &["`StatusCode`"]);
    check("envelope.rs", "use axum::Json;", &["`axum`"]);
    check("app.rs", "use hyper::Body;", &["`hyper`"]);
    check("loader/open.rs", "libloading::open()", &["`libloading`"]);
    check("registry/plugin.rs", "abi_stable::x()", &["`abi_stable`"]);
    check(
        "registry/plugin.rs",
        "bulkhead_plugin::x()",
        &["`bulkhead_plugin`"],
    );
    check("cli/mod.rs", "use std::env;", &["`std::env`"]);
    check("cli/mod.rs", "std::env::var_os(name)", &["`std::env`"]);
    check("loader/staging.rs", "std::env::consts::DLL_SUFFIX", &[]);
    check("platform/linux/user.rs", "std::env::x()", &["`std::env`"]);
    check("platform/worker.rs", "std::env::args_os()", &[]);
    check("main.rs", "std::process::exit(1)", &["`process::exit`"]);
    check(
        "platform/worker.rs",
        "std::process::exit(1)",
        &["`process::exit`"],
    );
    check(
        "lane/in_process/run.rs",
        "process::abort()",
        &["`process::abort`"],
    );
    check("registry/plugin.rs", "tokio::spawn(x)", &["`spawn(`"]);
    check(
        "loader/scan.rs",
        "spawn_blocking(x)",
        &["`spawn_blocking(`"],
    );
    check("loader/scan.rs", "spawn_local(x)", &["`spawn_local(`"]);
    check(
        "loader/scan.rs",
        "thread::Builder::new()",
        &["`thread::Builder`"],
    );
    check("loader/scan.rs", "thread::scope(x)", &["`thread::scope`"]);
    check(
        "lane/worker/pool.rs",
        "Command::new(x)",
        &["`Command::new(`"],
    );
}

/// What a file names of modules that its own must not know.
fn layers(source: &Source) -> Vec<String> {
    let (path, module) = (&source.path, source.module());
    let (place, allowed) = row(path);
    if place.is_empty() {
        return vec![format!(
            "{path}:1: `{module}` has no place in the table of modules"
        )];
    }
    let own = place.replace('/', "::");
    let is_allowed =
        |used: &str| is_below(used, &own) || allowed.iter().any(|allowed| is_below(used, allowed));
    let paths = source.crate_paths().into_iter();
    paths
        .filter(|(_, used)| !is_allowed(used))
        .map(|(line, used)| format!("{path}:{line}: uses crate::{used}"))
        .collect()
}

/// The row of the table that a file is held to: the one that says most of its path.
fn row(path: &str) -> (&'static str, &'static [&'static str]) {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let is_of = |place: &str| {
        let rest = path.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let rows = ALLOWED.iter().filter(|(place, _)| is_of(place));
    let longest = rows.max_by_key(|(place, _)| place.len());
    longest.copied().unwrap_or(("", &[]))
}

/// Whether a path names that item, or one in it.
fn is_below(used: &str, item: &str) -> bool {
    let rest = used.strip_prefix(item);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What stands in a file and may not.
fn places(source: &Source, rules: &[Rule]) -> Vec<String> {
    rules.iter().flat_map(|rule| place(source, rule)).collect()
}

fn place(source: &Source, rule: &Rule) -> Vec<String> {
    let path = source.path.as_str();
    if rule.only_in.iter().any(|home| is_in(home, path)) {
        return Vec::new();
    }
    let lines = source.lines_with(rule.text).into_iter();
    lines
        .filter(|(_, line)| !line.contains(rule.but))
        .map(|(line, _)| format!("{path}:{line}: `{}`", rule.text))
        .collect()
}

fn is_in(home: &str, path: &str) -> bool {
    home == path || (home.ends_with('/') && path.starts_with(home))
}
