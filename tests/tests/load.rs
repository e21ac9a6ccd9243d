//! From a file to a plugin that serves, or to the reason why it does not.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::c;
use bulkhead_tests::cli;
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::{fixture, frozen, panic_abort};
use bulkhead_tests::folder::Folder;
use serde_json::{Value, json};

#[test]
fn ld_01_listing_plugins_runs_none_of_their_code() {
    let folder = Folder::of(&frozen("raw"));
    let mark = folder.beside("mark");
    let environment = [("RAW_PLUGIN_MARK", mark.to_str().unwrap())];
    assert_eq!(cli::listed(&folder), "libfrozen_raw.so raw");
    let daemon = Daemon::start_with(&folder, "plugins.preload = 0", &environment);
    let listed = daemon.get("/v1/plugins");
    assert_eq!(listed.body["items"][0]["name"], "raw");
    assert_eq!(listed.body["items"][0]["lifecycle"], "LOADING");
    assert!(!mark.exists());
    // The mark is one that opening leaves: the first call does.
    assert_eq!(daemon.call("raw", &json!({})).status, 200);
    assert!(mark.exists());
}

#[test]
fn ld_03_an_undefined_symbol_is_told_when_it_is_loaded() {
    let broken = c::Library {
        code: "extern int gone(void); int use(void) { return gone(); }",
        ..c::plugin("broken")
    };
    let reason = refused("broken", &broken.build());
    assert!(reason.starts_with("load_failed: "), "{reason}");
    assert!(reason.contains("undefined symbol: gone"), "{reason}");
    assert!(reason.len() <= 1024, "{reason}");
}

#[test]
fn ld_04_a_missing_dependency_is_named() {
    let dependency = tempfile::tempdir().unwrap();
    let path = dependency.path().join("libfar-away.so");
    fs::write(&path, c::library().build()).unwrap();
    let flags = [
        "-Wl,--no-as-needed",
        "-L",
        dependency.path().to_str().unwrap(),
        "-l:libfar-away.so",
    ];
    let needy = c::Library {
        flags: &flags,
        ..c::plugin("needy")
    };
    let reason = refused("needy", &needy.build());
    let expected = "missing_dependency: it needs the library `libfar-away.so`";
    assert!(reason.starts_with(expected), "{reason}");
}

#[test]
fn ab_01_a_library_that_is_no_plugin_is_listed_and_not_opened() {
    let folder = Folder::new();
    let mark = folder.beside("mark");
    let code = format!(
        r#"#include <fcntl.h>
        __attribute__((constructor)) static void leave_a_mark(void) {{ creat("{}", 0600); }}"#,
        mark.display()
    );
    let library = c::Library {
        code: &code,
        ..c::library()
    };
    folder.put("libz.so", &library.build());
    assert_eq!(cli::listed(&folder), "libz.so: no_manifest");
    let daemon = Daemon::start(&folder, "");
    let refused = daemon.get("/v1/plugins").body["items"][0].clone();
    assert_eq!(refused["file"], "libz.so");
    assert_eq!(refused["lifecycle"], "REJECTED");
    assert!(!mark.exists());
}

#[test]
fn ab_03_types_that_differ_are_refused_by_name() {
    let folder = Folder::of(&frozen("changed"));
    let daemon = Daemon::start(&folder, "");
    let answer = daemon.call("changed", &json!({}));
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.reason(),
        "abi_layout: its types are laid out otherwise than this host's: `thread_safe` of \
         `BuildInfo`: mismatched type Expected: bool Found: u32; build it with this host's SDK"
    );
    assert_eq!(daemon.plugin("changed")["lifecycle"], "REJECTED");
}

#[test]
fn ab_04_older_and_newer_plugins_load() {
    let folder = Folder::of(&frozen("older")).with(&frozen("newer"));
    let daemon = Daemon::start(&folder, "");
    let check = |plugin, expected: Value| {
        assert_eq!(*daemon.call(plugin, &json!({})).result(), expected);
        assert_eq!(daemon.plugin(plugin)["lifecycle"], "READY");
    };
    check("older", json!({"fixture": "older"}));
    check("newer", json!({"fixture": "newer", "host_has_note": false}));
}

#[test]
fn ab_08_a_plugin_whose_panics_abort_is_refused() {
    let folder = Folder::of(&panic_abort());
    let daemon = Daemon::start(&folder, "");
    let answer = daemon.call("misbehaves", &way("panic"));
    assert_eq!(answer.status, 503);
    let reason = answer.reason();
    assert!(reason.starts_with("panic_strategy: "), "{reason}");
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn ab_09_memory_of_another_allocator_goes_back_to_it() {
    const MARGIN: u64 = 64 << 20;
    let folder = Folder::of(&frozen("raw"));
    let config = "jobs.retention = { count = 1 }\nplugin.raw.check_output = false";
    let daemon = Daemon::start(&folder, config);
    let megabyte = json!({"say": "megabyte"});
    let call = || assert_eq!(daemon.call_unread("raw", &megabyte), 200);
    (0..50).for_each(|_| call());
    let before = daemon.resident();
    (0..300).for_each(|_| call());
    let after = daemon.resident();
    assert!(after < before + MARGIN, "{before} bytes, then {after}");
}

#[test]
fn plugins_of_one_type_answer_as_themselves() {
    let folder = Folder::of(&frozen("older"))
        .with(&frozen("newer"))
        .with(&frozen("raw"))
        .with(&fixture("fixture-misbehaves"));
    let daemon = Daemon::start(&folder, "");
    let check = |plugin, field, expected: Value| {
        let answer = daemon.call(plugin, &json!({}));
        assert_eq!(answer.result()[field], expected, "{plugin}");
        assert_eq!(answer.body["plugin"], plugin);
    };
    for _ in 0..2 {
        check("older", "fixture", json!("older"));
        check("newer", "fixture", json!("newer"));
        check("raw", "fixture", json!("raw"));
        check("misbehaves", "score", json!(0.0));
    }
}

#[test]
fn settings_reach_the_plugin() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    let config = r#"plugin.misbehaves.settings = { greeting = "hello" }"#;
    let daemon = Daemon::start(&folder, config);
    let answer = daemon.call("misbehaves", &json!({}));
    assert_eq!(answer.result()["greeting"], "hello");
}

#[test]
fn a_plugin_that_does_not_start_says_why() {
    let check = |settings: &str, expected: &str| {
        let folder = Folder::of(&fixture("fixture-misbehaves"));
        let config = format!("plugin.misbehaves.settings = {settings}");
        let daemon = Daemon::start(&folder, &config);
        let answer = daemon.call("misbehaves", &json!({}));
        assert_eq!(answer.status, 503);
        assert_eq!(answer.reason(), expected);
        let status = daemon.plugin("misbehaves");
        assert_eq!(status["lifecycle"], "REJECTED");
        assert_eq!(status["reason"], expected);
        assert_eq!(status["error_count"], 0);
    };
    check(
        "{ refuse_to_start = true }",
        "create_failed: it could not start: told not to start; see to its settings",
    );
    check(
        "{ fail_self_test = true }",
        "create_failed: it could not start: told to be unfit; see to its settings",
    );
    // What the plugin says is cut after 600 characters.
    let start = r#"invalid type: string \""#;
    let told = format!("{start}{}", "x".repeat(600 - start.len()));
    check(
        &format!("{{ refuse_to_start = '{}' }}", "x".repeat(100_000)),
        &format!("create_failed: it could not start: {told}; see to its settings"),
    );
    check(
        "{ greeting = 7 }",
        "create_failed: it could not start: invalid type: integer `7`, expected a string \
         at line 1 column 13; see to its settings",
    );
}

/// Puts a library into a folder, calls it as the plugin `name`, and gives the reason why it could
/// not be called.
fn refused(name: &str, library: &[u8]) -> String {
    let folder = Folder::new();
    folder.put("it.so", library);
    assert_eq!(cli::listed(&folder), format!("it.so {name}"));
    let daemon = Daemon::start(&folder, "");
    let answer = daemon.call(name, &json!({}));
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.body["error"]["type"], "PluginError");
    assert_eq!(answer.details()["code"], "plugin_unavailable");
    answer.reason().to_owned()
}
