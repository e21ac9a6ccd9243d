//! What is told of plugins as their builds come and go: all of it, in order, and again for whoever asks
//! again.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::events::{Event, Events};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::reload::{QUICK, Scene, quick};

#[test]
fn the_life_of_a_build_is_told_in_order() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, QUICK);
    let events = daemon.events();
    folder.put(FILE, &Build::fine(1).bytes());
    follow(
        &events,
        None,
        &Build::fine(1).bytes(),
        &["found", "probed", "serving"],
    );
    assert_eq!(daemon.call(BUILDS, &way("fine")).status, 200);
    folder.put(FILE, &Build::fine(2).bytes());
    let serving = follow(
        &events,
        None,
        &Build::fine(2).bytes(),
        &["found", "probed", "serving"],
    );
    let replaced = Build::fine(1).generation();
    assert_eq!(serving.data["details"]["replaces"], replaced.as_str());
    assert_eq!(serving.data["details"]["digest_changed"], true);
    let retired = follow(
        &events,
        Some(&serving),
        &Build::fine(1).bytes(),
        &["draining", "retired"],
    );
    assert_eq!(retired.data["details"]["calls"], 1);
    assert_eq!(retired.data["details"]["errors"], 0);
    fs::remove_file(folder.at(FILE)).unwrap();
    follow(
        &events,
        Some(&retired),
        &Build::fine(2).bytes(),
        &["removed", "draining", "retired"],
    );
}

#[test]
fn what_is_not_served_is_told_with_its_reason() {
    let scene = Scene::quick("");
    let events = scene.daemon.events();
    scene.put(2, "unfit");
    let rejected = follow(
        &events,
        None,
        &builds::bytes(2, "unfit"),
        &["found", "rejected"],
    );
    assert!(
        rejected.reason().starts_with("create_failed: "),
        "{}",
        rejected.reason()
    );
    scene.folder.put("none.so", b"no library");
    let rejected = events.wait_after(&rejected.id, |it| it.kind == "rejected");
    assert_eq!(rejected.data["file"], "none.so");
    assert!(
        rejected.reason().starts_with("not_a_library: "),
        "{}",
        rejected.reason()
    );
    fs::write(scene.file(), "no library").unwrap();
    let held = events.wait_after(&rejected.id, |it| it.kind == "held");
    assert_eq!(held.data["file"], FILE);
    assert!(
        held.reason().starts_with("not_a_library: "),
        "{}",
        held.reason()
    );
}

#[test]
fn crashes_and_what_comes_of_them_are_told() {
    let scene = Scene::quick("");
    let events = scene.daemon.events();
    scene.put(2, "crash");
    let bad = builds::bytes(2, "crash");
    let serving = follow(&events, None, &bad, &["found", "probed", "serving"]);
    for _ in 0..6 {
        scene.call(&way("crash"));
    }
    let quarantined = follow(&events, Some(&serving), &bad, &["quarantined"]);
    assert!(quarantined.data["details"]["crashes"].as_u64() >= Some(3));
    let good = Build::fine(1).bytes();
    follow(
        &events,
        Some(&quarantined),
        &good,
        &["rolled_back", "serving"],
    );
    follow(&events, Some(&quarantined), &bad, &["draining", "retired"]);
}

#[test]
fn a_stream_goes_on_where_another_ended() {
    let scene = Scene::quick("");
    let events = scene.daemon.events();
    scene.put(2, "fine");
    let seen = follow(&events, None, &Build::fine(2).bytes(), &["serving"]);
    drop(events);
    scene.put(3, "fine");
    scene.wait_for_build(3);
    let again = scene
        .daemon
        .events_with(&format!("last_event_id={}", seen.id));
    follow(
        &again,
        None,
        &Build::fine(3).bytes(),
        &["found", "probed", "serving"],
    );
    assert!(again.heard().iter().all(|event| event.id != seen.id));
    // The same again, and only that of one kind.
    let some = scene
        .daemon
        .events_with("last_event_id=0&kind=serving&plugin=builds");
    let three = Build::fine(3).generation();
    some.wait_for(|event| event.data["generation"] == three.as_str());
    let heard = some.heard();
    assert!(heard.iter().all(|event| event.is("serving", BUILDS)));
    assert_eq!(heard.len(), 3, "{heard:#?}");
}

#[test]
fn a_change_of_the_settings_is_told() {
    let scene = Scene::quick("");
    let events = scene.daemon.events();
    scene.daemon.configure(&quick("concurrency = 3"));
    let applied = events.wait_for(|event| event.kind == "configuration_applied");
    follow(
        &events,
        Some(&applied),
        &Build::fine(1).bytes(),
        &["serving", "draining", "retired"],
    );
    scene.daemon.configure("nonsense");
    events.wait_for(|event| event.kind == "configuration_rejected");
}

/// Waits for these kinds of events of one build, one after the other, and gives the last.
fn follow(events: &Events, after: Option<&Event>, build: &[u8], kinds: &[&str]) -> Event {
    let generation = builds::generation(build);
    let mut last = after.cloned();
    for kind in kinds {
        let is_meant = |event: &Event| {
            event.is(kind, BUILDS) && event.data["generation"] == generation.as_str()
        };
        last = Some(match &last {
            Some(last) => events.wait_after(&last.id, is_meant),
            None => events.wait_for(is_meant),
        });
    }
    last.expect("there are kinds")
}
