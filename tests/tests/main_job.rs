//! The main job as its users do it: first-party plugins, real pictures, the real daemon and the real
//! command line.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::io::{Read, Write};

use bulkhead_tests::cli;
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::{fixture, picture, workspace};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::on_each_lane;
use serde_json::{Value, json};

on_each_lane![
    every_first_party_plugin_answers_by_every_body,
    what_cannot_be_answered_is_told,
    an_answer_can_be_looked_up_by_its_job,
    op_02_a_stop_lets_what_runs_come_to_its_end,
];

const PLUGINS: [&str; 5] = ["image-info", "palette", "phash", "qr", "thumbnail"];

fn first_party() -> Folder {
    PLUGINS.iter().fold(Folder::new(), |folder, plugin| {
        folder.with(&fixture(plugin))
    })
}

/// Asks a plugin about a picture by all three bodies, and holds the result to an excerpt.
fn check(daemon: &Daemon, plugin: &str, file: &str, options: Value, expected: Value) {
    let mime_type = if file.ends_with("png") {
        "image/png"
    } else {
        "image/jpeg"
    };
    let image = picture(file);
    let raw = daemon.post_raw(plugin, mime_type, &image, &options);
    let form = daemon.post_form(plugin, mime_type, &image, &options);
    let base64 = base64_simd::STANDARD.encode_to_string(&image);
    let body =
        json!({"plugin": plugin, "image": base64, "mime_type": mime_type, "options": options});
    let json = daemon.post_json(&body);
    for answer in [&form, &json] {
        assert_eq!(answer.body, raw.body, "{plugin} of {file}");
    }
    for (key, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(&raw.result()[key], value, "{plugin} of {file}: {key}");
    }
    assert_eq!(raw.body["plugin"], plugin);
}

fn every_first_party_plugin_answers_by_every_body(lane: Lane) {
    let daemon = Daemon::start(&first_party(), &lane.config(""));
    let none = || json!({});
    let size = json!({"format": "png", "width": 451, "height": 300});
    check(&daemon, "image-info", "chelsea.png", none(), size);
    let ticket = "https://example.org/bulkhead?ticket=4711";
    let image = picture("qr-ticket.png");
    let code = daemon.post_raw("qr", "image/png", &image, &json!({}));
    assert_eq!(code.result()["codes"][0]["text"], ticket);
    check(&daemon, "qr", "chelsea.png", none(), json!({"codes": []}));
    let thumbnail = json!({"width": 64, "height": 43, "format": "png"});
    let options = json!({"width": 64, "height": 64, "format": "png"});
    check(&daemon, "thumbnail", "coffee.png", options, thumbnail);
    check(
        &daemon,
        "palette",
        "rocket.jpg",
        json!({"colours": 3}),
        json!({}),
    );
    check(
        &daemon,
        "phash",
        "rocket.jpg",
        none(),
        json!({"comparison": null}),
    );
    for plugin in PLUGINS {
        let status = daemon.plugin(plugin);
        assert_eq!(status["lifecycle"], "READY", "{status}");
        assert_eq!(status["error_count"], 0, "{status}");
        assert_eq!(status["options_schema"]["type"], "object", "{status}");
    }
}

#[test]
fn exif_and_gps_are_read_from_a_camera_picture() {
    let daemon = Daemon::start(&first_party(), "");
    let image = picture("chelsea-exif.jpg");
    // Nobody has named a plugin: `default` is image-info, and the answer says so.
    let answer = daemon.post_raw("default", "image/jpeg", &image, &json!({}));
    assert_eq!(answer.body["plugin"], "image-info");
    let exif = &answer.result()["exif"];
    assert_eq!(
        (&exif["aperture"], &exif["iso"]),
        (&json!(2.8), &json!(200))
    );
    assert_eq!(exif["gps"], json!({"latitude": 52.52, "longitude": 13.405}));
}

fn an_answer_can_be_looked_up_by_its_job(lane: Lane) {
    let daemon = Daemon::start(&first_party(), &lane.config(""));
    let answer = daemon.post_raw("thumbnail", "image/png", &picture("coffee.png"), &json!({}));
    let attachment = &answer.body["attachments"][0];
    let data = base64_simd::STANDARD
        .decode_to_vec(attachment["data"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        data.len() as u64,
        answer.result()["bytes"].as_u64().unwrap()
    );
    let job = daemon
        .get(&format!("/v1/jobs/{}", answer.header("x-job-id").unwrap()))
        .body;
    assert_eq!(
        (&job["status"], &job["plugin"]),
        (&json!("SUCCESS"), &json!("thumbnail"))
    );
    assert_eq!(&job["result"], answer.result());
    assert_eq!(job["generation"], daemon.plugin("thumbnail")["generation"]);
}

fn what_cannot_be_answered_is_told(lane: Lane) {
    let daemon = Daemon::start(&first_party(), &lane.config(""));
    let empty = daemon.post_json(&json!({"image": ""}));
    assert_eq!(
        empty.brief(),
        "400 ValidationError empty_image: Empty image payload"
    );
    let unknown = daemon.post_raw("pallete", "image/png", &picture("coffee.png"), &json!({}));
    assert_eq!(
        (unknown.status, &unknown.details()["available"][0]),
        (404, &json!("palette"))
    );
    let coffee = picture("coffee.png");
    let cut = daemon.post_raw("palette", "image/png", &coffee[..1000], &json!({}));
    assert_eq!(
        (cut.status, &cut.details()["code"]),
        (422, &json!("invalid_input"))
    );
    let mismatch = daemon.post_raw("palette", "image/jpeg", &coffee, &json!({}));
    assert_eq!(mismatch.details()["code"], "image_mismatch");
    let pdf = daemon.post_raw("palette", "application/pdf", b"%PDF-1.7", &json!({}));
    assert_eq!(
        (pdf.status, &pdf.details()["code"]),
        (415, &json!("unsupported_mime_type"))
    );
    let options = daemon.post_raw("palette", "image/png", &coffee, &json!({"colours": 99}));
    assert_eq!(options.details()["violations"][0]["path"], "/colours");
}

#[test]
fn the_command_line_gives_what_the_daemon_gives() {
    let folder = first_party();
    let file = workspace().join("tests/pictures/chelsea.png");
    let (plugins, file) = (folder.path(), file.to_str().unwrap().to_owned());
    let flags = ["--plugins", plugins.to_str().unwrap(), "--json"];
    let ended = cli::run(&[&["analyze", "image-info", &file][..], &flags].concat());
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let daemon = Daemon::start(&folder, "");
    let answer = daemon.post_raw(
        "image-info",
        "image/png",
        &picture("chelsea.png"),
        &json!({}),
    );
    assert_eq!(&document["result"], answer.result());
    let nowhere = cli::run(&[&["analyze", "palette", "/nowhere.png"][..], &flags].concat());
    assert_eq!(nowhere.exit, 1);
    let told: Value = serde_json::from_str(&nowhere.stdout).unwrap();
    let error = &told["error"];
    assert_eq!(error["details"]["code"], "malformed_request");
    assert!(
        error["timestamp"].is_string() && error["plugin"] == "palette",
        "{error}"
    );
    let missing = cli::run(&[&["analyze", "palete", &file][..], &flags[..2]].concat());
    assert_eq!(missing.exit, 1);
    assert!(
        missing.stderr.contains("did you mean `palette`?"),
        "{}",
        missing.stderr
    );
}

fn op_02_a_stop_lets_what_runs_come_to_its_end(lane: Lane) {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    let mut daemon = Daemon::start(&folder, &lane.config(""));
    let go = folder.beside("go");
    let query = format!(
        "%7B%22way%22:%22hold%22,%22until%22:%22{}%22%7D",
        go.display()
    );
    let mut call = daemon.connect();
    write!(
        call,
        "POST /v1/analyze?plugin=misbehaves&options={query} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: image/x-any\r\nContent-Length: 3\r\n\r\nabc"
    )
    .unwrap();
    daemon.wait_for("misbehaves", "in_flight", 1);
    daemon.terminate();
    bulkhead_tests::wait::until("the daemon to drain", || {
        daemon.log().contains("stopping").then_some(())
    });
    std::fs::write(&go, "").unwrap();
    let mut answer = String::new();
    call.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(daemon.exit_code(), Some(0));
}
