//! A library that is opened for the first time is opened where it can do no harm.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::c;
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::{fixture, frozen, panic_abort};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::on_each_platform;
use bulkhead_tests::process::Process;
use bulkhead_tests::workers::{FAULTS, Platform, Scene, TWIN, config, fine};
use rustix::process::Signal;
use serde_json::json;

on_each_platform![
    ld_01_the_daemon_opens_no_plugin,
    ld_03_what_cannot_be_loaded_says_why,
    ld_09_thread_locals_of_one_plugin_are_not_anothers,
    ld_13_a_deleted_file_is_served_on,
    ld_14_plugins_that_nobody_calls_have_no_workers,
    ab_08_a_plugin_whose_panics_abort_costs_its_own_call,
    ab_10_a_library_that_crashes_at_the_first_look_is_rejected,
    a_library_that_hangs_at_the_first_look_is_rejected,
    an_instance_that_cannot_be_made_is_told,
];

fn ld_01_the_daemon_opens_no_plugin(platform: Platform) {
    let scene = Scene::new(platform, "");
    scene.fine();
    let (worker, neighbour) = (scene.fine(), fine(&scene.daemon, TWIN));
    let has_opened = |process: Process| process.mapped().contains("generations/");
    assert!(has_opened(worker) && has_opened(neighbour));
    assert!(!has_opened(scene.daemon.process()));
    let status = scene.daemon.plugin(FAULTS);
    assert_eq!(
        (&status["lane"], &status["lifecycle"]),
        (&json!("process"), &json!("READY"))
    );
    assert!(status["options_schema"].is_object() && status["output_schema"].is_object());
}

fn ld_03_what_cannot_be_loaded_says_why(platform: Platform) {
    let undefined = "extern int gone(void); int use(void) { return gone(); }";
    let reason = rejected(platform, &coded(undefined));
    assert!(reason.starts_with("load_failed: "), "{reason}");
    assert!(reason.contains("undefined symbol: gone"), "{reason}");
    assert!(reason.len() <= 1024, "{reason}");
}

fn ld_09_thread_locals_of_one_plugin_are_not_anothers(platform: Platform) {
    let library = |bytes: usize| {
        format!(
            "__thread char big[{bytes}] __attribute__((tls_model(\"initial-exec\")));\n\
             char *touch(void) {{ return big; }}"
        )
    };
    let reason = rejected(platform, &coded(&library(4096)));
    assert!(reason.starts_with("load_failed: "), "{reason}");
    assert!(reason.contains("static TLS"), "{reason}");
    // In one process the 27th of these found no room (and these are no plugins beyond that).
    let folder = Folder::new();
    for number in 0..32 {
        let code = library(64);
        let small = c::Library {
            code: &code,
            ..c::plugin(&format!("small-{number}"))
        };
        folder.put(&format!("small{number}.so"), &small.build());
    }
    let daemon = Daemon::start(&folder, &config(platform, ""));
    for number in 0..32 {
        let answer = daemon.call(&format!("small-{number}"), &json!({}));
        assert_eq!(answer.status, 503);
        assert!(!answer.reason().contains("TLS"), "{}", answer.reason());
    }
}

fn ld_13_a_deleted_file_is_served_on(platform: Platform) {
    let scene = Scene::new(platform, "concurrency = 1");
    let worker = scene.fine();
    fs::remove_file(scene.folder.at("libfixture_faults.so")).unwrap();
    scene.fine();
    // Even by a worker that starts after that.
    worker.signal(Signal::KILL);
    bulkhead_tests::workers::all_gone("the worker", &[worker]);
    assert_ne!(scene.fine(), worker);
}

fn ld_14_plugins_that_nobody_calls_have_no_workers(platform: Platform) {
    let folder = Folder::of(&fixture("fixture-twin"));
    for number in 0..20 {
        let plugin = c::plugin(&format!("plugin-{number}")).build();
        folder.put(&format!("plugin{number}.so"), &plugin);
    }
    let config = config(platform, "plugins.preload = 0");
    let daemon = Daemon::start(&folder, &config);
    let items = daemon.get("/v1/plugins").body["items"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(items, 21);
    let children = daemon.process().children();
    assert!(children.len() <= 1, "more than the spare: {children:?}");
    fine(&daemon, TWIN);
}

fn ab_08_a_plugin_whose_panics_abort_costs_its_own_call(platform: Platform) {
    let daemon = Daemon::start(&Folder::of(&panic_abort()), &config(platform, ""));
    let fine = || assert_eq!(daemon.call("misbehaves", &way("fine")).status, 200);
    fine();
    let answer = daemon.call("misbehaves", &way("panic"));
    let brief = "502 ExecutionError crash: the plugin's worker died of SIGABRT";
    assert_eq!(answer.brief(), brief);
    fine();
}

fn ab_10_a_library_that_crashes_at_the_first_look_is_rejected(platform: Platform) {
    let crash = "__attribute__((constructor)) static void crash(void) { *(volatile int *)16 = 1; }";
    let abort = "#include <stdlib.h>\n\
                 __attribute__((constructor)) static void end(void) { abort(); }";
    let exit = "#include <unistd.h>\n\
                __attribute__((constructor)) static void end(void) { _exit(0); }";
    for library in [
        coded(crash),
        coded(abort),
        coded(exit),
        c::garbage("broken"),
    ] {
        let reason = rejected(platform, &library);
        assert!(reason.starts_with("load_crashed: "), "{reason}");
    }
}

fn a_library_that_hangs_at_the_first_look_is_rejected(platform: Platform) {
    let hang = "__attribute__((constructor)) static void hang(void) { for (;;); }";
    let reason = rejected(platform, &coded(hang));
    assert!(reason.starts_with("load_hung: "), "{reason}");
}

/// The code of the plugin itself, as soon as an instance is made.
fn an_instance_that_cannot_be_made_is_told(platform: Platform) {
    for (start, code) in [
        ("crash", "load_crashed: "),
        ("exit", "load_crashed: "),
        ("hang", "load_hung: "),
    ] {
        let faults = format!("startup = \"2s\"\nsettings = {{ at_start = \"{start}\" }}");
        let scene = Scene::new(platform, &faults);
        for _ in 0..2 {
            let answer = scene.call(&way("fine"));
            assert_eq!(answer.status, 503, "{start}: {}", answer.body);
            let reason = answer.reason();
            assert!(reason.starts_with(code), "{start}: {reason}");
        }
        assert_eq!(scene.daemon.plugin(FAULTS)["lifecycle"], "REJECTED");
        fine(&scene.daemon, TWIN);
    }
}

/// A library that reads as the plugin `broken`, with more C.
fn coded(code: &str) -> Vec<u8> {
    let library = c::Library {
        code,
        ..c::plugin("broken")
    };
    library.build()
}

/// Calls a plugin that cannot be had, and gives the reason. Its neighbours are well, and so is the
/// daemon, which has nothing of it.
fn rejected(platform: Platform, library: &[u8]) -> String {
    let folder = Folder::of(&frozen("older"));
    folder.put("broken.so", library);
    let keys = "plugins.preload = 0\nplugin.broken.startup = \"2s\"";
    let daemon = Daemon::start(&folder, &config(platform, keys));
    let well = || assert_eq!(daemon.call("older", &json!({})).status, 200);
    well();
    for _ in 0..2 {
        let answer = daemon.call("broken", &json!({}));
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.body["error"]["type"], "PluginError");
        assert_eq!(answer.details()["code"], "plugin_unavailable");
    }
    well();
    let status = daemon.plugin("broken");
    assert_eq!(status["lifecycle"], "REJECTED", "{status}");
    assert!(!daemon.process().mapped().contains("generations/"));
    assert!(daemon.process().zombies().is_empty());
    status["reason"].as_str().unwrap().to_owned()
}
