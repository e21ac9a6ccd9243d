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
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::on_each_lane;
use serde_json::{Value, json};

on_each_lane![
    ld_01_listing_plugins_runs_none_of_their_code,
    ld_03_an_undefined_symbol_is_told_when_it_is_loaded,
    ld_04_a_missing_dependency_is_named,
    ab_03_types_that_differ_are_refused_by_name,
    ab_04_older_and_newer_plugins_load,
    ab_08_a_plugin_whose_panics_abort_takes_no_daemon_along,
    ab_09_memory_of_another_allocator_goes_back_to_it,
    ab_10_garbage_where_functions_should_be_is_found_in_a_worker,
    plugins_of_one_type_answer_as_themselves,
    settings_reach_the_plugin,
    a_plugin_that_does_not_start_says_why,
];

fn ld_01_listing_plugins_runs_none_of_their_code(lane: Lane) {
    let folder = Folder::of(&frozen("raw"));
    let mark = folder.beside("mark");
    let environment = [("RAW_PLUGIN_MARK", mark.to_str().unwrap())];
    assert_eq!(cli::listed(&folder), "libfrozen_raw.so raw");
    let config = lane.config("plugins.preload = 0");
    let daemon = Daemon::start_with(&folder, &config, &environment);
    let listed = daemon.get("/v1/plugins");
    assert_eq!(listed.body["items"][0]["name"], "raw");
    assert_eq!(listed.body["items"][0]["lifecycle"], "LOADING");
    assert!(!mark.exists());
    // The mark is one that opening leaves, in a process that has the daemon's environment: a worker
    // has none of it.
    assert_eq!(daemon.call("raw", &json!({})).status, 200);
    assert_eq!(mark.exists(), lane == Lane::InProcess);
}

fn ld_03_an_undefined_symbol_is_told_when_it_is_loaded(lane: Lane) {
    let broken = c::Library {
        code: "extern int gone(void); int use(void) { return gone(); }",
        ..c::plugin("broken")
    };
    let reason = refused(lane, "broken", &broken.build());
    assert!(reason.starts_with("load_failed: "), "{reason}");
    assert!(reason.contains("undefined symbol: gone"), "{reason}");
    assert!(reason.len() <= 1024, "{reason}");
}

fn ld_04_a_missing_dependency_is_named(lane: Lane) {
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
    let reason = refused(lane, "needy", &needy.build());
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

fn ab_03_types_that_differ_are_refused_by_name(lane: Lane) {
    let folder = Folder::of(&frozen("changed"));
    let daemon = Daemon::start(&folder, &lane.config(""));
    let answer = daemon.call("changed", &json!({}));
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.reason(),
        "abi_layout: its types are laid out otherwise than this host's: `thread_safe` of \
         `BuildInfo`: mismatched type Expected: bool Found: u32; build it with this host's SDK"
    );
    assert_eq!(daemon.plugin("changed")["lifecycle"], "REJECTED");
}

fn ab_04_older_and_newer_plugins_load(lane: Lane) {
    let folder = Folder::of(&frozen("older")).with(&frozen("newer"));
    let daemon = Daemon::start(&folder, &lane.config(""));
    let check = |plugin, expected: Value| {
        assert_eq!(*daemon.call(plugin, &json!({})).result(), expected);
        assert_eq!(daemon.plugin(plugin)["lifecycle"], "READY");
    };
    check("older", json!({"fixture": "older"}));
    check("newer", json!({"fixture": "newer", "host_has_note": false}));
}

fn ab_08_a_plugin_whose_panics_abort_takes_no_daemon_along(lane: Lane) {
    let folder = Folder::of(&panic_abort());
    let daemon = Daemon::start(&folder, &lane.config(""));
    let answer = daemon.call("misbehaves", &way("panic"));
    match lane {
        Lane::Process => {
            let expected = "502 ExecutionError crash: the plugin's worker died of SIGABRT";
            assert_eq!(answer.brief(), expected);
            assert_eq!(daemon.call("misbehaves", &way("fine")).status, 200);
        }
        Lane::InProcess => {
            assert_eq!(answer.status, 503);
            let reason = answer.reason();
            assert!(reason.starts_with("panic_strategy: "), "{reason}");
        }
    }
    assert_eq!(daemon.get("/healthz").status, 200);
}

fn ab_09_memory_of_another_allocator_goes_back_to_it(lane: Lane) {
    const MARGIN: u64 = 64 << 20;
    let folder = Folder::of(&frozen("raw"));
    let config = "jobs.retention = { count = 1 }\nplugin.raw.check_output = false";
    let daemon = Daemon::start(&folder, &lane.config(config));
    let megabyte = json!({"say": "megabyte"});
    let call = || assert_eq!(daemon.call_unread("raw", &megabyte), 200);
    (0..50).for_each(|_| call());
    let before = daemon.resident();
    (0..300).for_each(|_| call());
    let after = daemon.resident();
    assert!(after < before + MARGIN, "{before} bytes, then {after}");
}

/// A trusted plugin too is opened in a worker first.
fn ab_10_garbage_where_functions_should_be_is_found_in_a_worker(lane: Lane) {
    let reason = refused(lane, "broken", &c::garbage("broken"));
    assert!(reason.starts_with("load_crashed: "), "{reason}");
}

fn plugins_of_one_type_answer_as_themselves(lane: Lane) {
    let folder = Folder::of(&frozen("older"))
        .with(&frozen("newer"))
        .with(&frozen("raw"))
        .with(&fixture("fixture-misbehaves"));
    let daemon = Daemon::start(&folder, &lane.config(""));
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

fn settings_reach_the_plugin(lane: Lane) {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    let config = r#"plugin.misbehaves.settings = { greeting = "hello" }"#;
    let daemon = Daemon::start(&folder, &lane.config(config));
    let answer = daemon.call("misbehaves", &json!({}));
    assert_eq!(answer.result()["greeting"], "hello");
}

fn a_plugin_that_does_not_start_says_why(lane: Lane) {
    let check = |settings: &str, expected: &str| {
        let folder = Folder::of(&fixture("fixture-misbehaves"));
        let config = format!("plugin.misbehaves.settings = {settings}");
        let daemon = Daemon::start(&folder, &lane.config(&config));
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
fn refused(lane: Lane, name: &str, library: &[u8]) -> String {
    let folder = Folder::new();
    folder.put("it.so", library);
    assert_eq!(cli::listed(&folder), format!("it.so {name}"));
    let daemon = Daemon::start(&folder, &lane.config(""));
    let answer = daemon.call(name, &json!({}));
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.body["error"]["type"], "PluginError");
    assert_eq!(answer.details()["code"], "plugin_unavailable");
    assert_eq!(daemon.plugin(name)["lifecycle"], "REJECTED");
    answer.reason().to_owned()
}
