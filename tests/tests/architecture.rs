//! The rules of the design that no type and no lint keeps: which module may know which, and what
//! may stand in which file. Each rule is also held against code that breaks it.

use bulkhead_tests::fixtures::workspace;
use bulkhead_tests::source::{self, Source};

/// What each module of the host may name of the others, from the bottom to the top. A path admits
/// that one item only.
const ALLOWED: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("error", &[]),
    ("budget", &["error"]),
    ("platform", &[]),
    ("config", &["names"]),
    ("envelope", &["error", "names"]),
    // The key to the door hangs where the door is kept.
    ("call", &["budget", "error", "names", "runner::Pass"]),
    ("validation", &["call", "error", "names"]),
    (
        "jobs",
        &["call", "envelope", "error", "names", "validation"],
    ),
    (
        "registry",
        &["call", "config", "envelope", "error", "names", "validation"],
    ),
    (
        "runner",
        &[
            "call",
            "envelope",
            "error",
            "names",
            "registry",
            "validation",
        ],
    ),
    ("loader", &["names", "platform"]),
    (
        "lane",
        &["call", "config", "error", "loader", "names", "runner::Pass"],
    ),
    (
        "services",
        &[
            "budget",
            "call",
            "config",
            "envelope",
            "error",
            "jobs",
            "lane",
            "loader",
            "names",
            "registry",
            "runner",
            "validation",
        ],
    ),
    (
        "http",
        &[
            "budget",
            "call",
            "envelope",
            "error",
            "jobs",
            "names",
            "registry",
            "services",
            "validation",
        ],
    ),
    (
        "app",
        &[
            "budget",
            "config",
            "http",
            "jobs",
            "lane",
            "loader",
            "names",
            "registry",
            "runner",
            "services",
            "validation",
        ],
    ),
    (
        "cli",
        &["app", "call", "config", "loader", "names", "services"],
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

/// Where threads and tasks begin: each is waited for, or ends with what it works for.
const SPAWNING: &[&str] = &[
    "app.rs",
    // The daemon as a whole runs beside the main thread, which waits for signals.
    "cli/serve.rs",
    // A large body is decoded beside the threads that carry connections.
    "http/analyze/json.rs",
    "http/server.rs",
    "lane/in_process/threads.rs",
    "runner.rs",
    "services/jobs.rs",
    "services/opening.rs",
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
    rule("bulkhead_plugin", &["lane/", "loader/", "platform/"]),
    // Which system this is stands in `std::env` too.
    Rule {
        but: "std::env::consts",
        ..rule("std::env", &["config/"])
    },
    rule("process::exit", &[]),
    rule("process::abort", &[]),
    rule("spawn(", SPAWNING),
    rule("spawn_blocking(", SPAWNING),
    rule("spawn_local(", SPAWNING),
    rule("thread::Builder", SPAWNING),
    rule("thread::scope", SPAWNING),
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
fn every_rule_is_one_that_is_kept_somewhere() {
    let sources = source::below(&workspace().join("host/src"));
    for rule in HOST.iter().filter(|rule| !rule.only_in.is_empty()) {
        let anywhere = Rule {
            only_in: &[],
            ..*rule
        };
        let found = sources.iter().flat_map(|it| place(it, &anywhere)).count();
        let is_kept = found > 0 || ["spawn_local(", "thread::scope"].contains(&rule.text);
        assert!(is_kept, "nothing says `{}`: is it spelled so?", rule.text);
    }
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
    check("main.rs", "std::process::exit(1)", &["`process::exit`"]);
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
}

/// What a file names of modules that its own must not know.
fn layers(source: &Source) -> Vec<String> {
    let (path, module) = (&source.path, source.module());
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "{path}:1: `{module}` has no place in the table of modules"
        )];
    };
    let is_allowed = |used: &str| {
        let first = used.split("::").next().unwrap_or_default();
        first == module || allowed.contains(&first) || allowed.contains(&used)
    };
    let paths = source.crate_paths().into_iter();
    paths
        .filter(|(_, used)| !is_allowed(used))
        .map(|(line, used)| format!("{path}:{line}: uses crate::{used}"))
        .collect()
}

/// What stands in a file and may not.
fn places(source: &Source, rules: &[Rule]) -> Vec<String> {
    rules.iter().flat_map(|rule| place(source, rule)).collect()
}

fn place(source: &Source, rule: &Rule) -> Vec<String> {
    let path = source.path.as_str();
    let is_home =
        |place: &&str| *place == path || (place.ends_with('/') && path.starts_with(place));
    if rule.only_in.iter().any(is_home) {
        return Vec::new();
    }
    let lines = source.lines_with(rule.text).into_iter();
    lines
        .filter(|(_, line)| !line.contains(rule.but))
        .map(|(line, _)| format!("{path}:{line}: `{}`", rule.text))
        .collect()
}
