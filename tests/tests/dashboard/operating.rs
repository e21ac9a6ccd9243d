//! What an operator does on the page: a canary is watched and ended, jobs are cancelled and run again.

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::submit::steps_config;
use fantoccini::key::Key;
use serde_json::json;

use crate::scene::Scene;

#[test]
fn a_canary_is_ended_and_a_job_is_cancelled_and_run_again() {
    let folder = Folder::of(&fixture("fixture-steps"));
    folder.put(FILE, &Build::fine(1).bytes());
    let canary = "plugins.settle = '20ms'\n[plugin.builds]\ncanary = 20\ncanary_window = '1h'\n";
    let config = format!("{canary}{}", steps_config(&folder, ""));
    let Some(scene) = Scene::in_folder(&folder, &config) else {
        return;
    };
    a_canary_is_seen_and_ended(&scene, &folder);
    a_job_is_cancelled_and_run_again_by_keyboard(&scene, &folder);
    assert_eq!(scene.browser.console(), Vec::<String>::new());
}

fn a_canary_is_seen_and_ended(scene: &Scene, folder: &Folder) {
    let browser = scene.open("plugins/builds");
    browser.until_text(".cards td", "100 %");
    folder.put(FILE, &builds::bytes(2, "fine"));
    let tried = builds::generation(&builds::bytes(2, "fine"));
    let told = format!("canary {tried} gets 20 % of the calls");
    browser.until_text("main .bar", &told);
    browser.until_text(".cards tr", "80 %");
    browser.until_text(".cards tr", "canary, 20 %");
    scene.open("");
    browser.until_text(".plugins tr", &format!("+ 20 % {tried}"));
    scene.open("plugins/builds");
    browser.until_text("main .bar", &told);
    browser.tab_to("Roll back");
    browser.press(Key::Enter);
    browser.until_text("dialog[open]", &format!("The trial of {tried} ends"));
    browser.press(Key::Enter);
    browser.until_text(".outcome", "Roll back is done: builds is ready");
    browser.until_text(".cards td", "100 %");
    let serving = scene.daemon.plugin(BUILDS)["generation"].clone();
    assert_eq!(serving, Build::fine(1).generation().as_str());
}

fn a_job_is_cancelled_and_run_again_by_keyboard(scene: &Scene, folder: &Folder) {
    let gate = folder.beside("open").join("gate");
    let job = scene.daemon.submitted(
        "steps",
        &json!({ "mark": "<b>bold</b>", "steps": 2, "until": gate }),
    );
    let browser = scene.open("jobs");
    browser.until_text(".jobs tr", "running");
    browser.until("document.querySelector('.jobs progress')?.value === 1");
    let verb = |verb: &str, question: &str| {
        browser.tab_to(verb);
        browser.press(Key::Enter);
        browser.until_text("dialog[open]", question);
        browser.press(Key::Enter);
        browser.until("!document.querySelector('dialog')");
    };
    verb("Cancel", "Cancel the job of steps?");
    browser.until_text(".jobs tr", "cancelled");
    // The button is another now, and still has the focus.
    browser.until("document.activeElement.textContent === 'Retry'");
    browser.press(Key::Enter);
    browser.until_text("dialog[open]", "It is run once more");
    browser.press(Key::Enter);
    browser.until_text(".jobs tr", "running");
    scene.open(&format!("jobs/{job}"));
    browser.until_text(".bar", "running");
    verb("Cancel", "Cancel the job of steps?");
    browser.until_text(".bar", "cancelled");
    verb("Retry", "It is run once more");
    std::fs::write(&gate, "").unwrap();
    browser.until_text(".bar", "success");
    browser.until_text(".tree", "mark <b>bold</b>");
    assert_eq!(browser.eval("document.querySelectorAll('b').length"), 0);
    let buttons =
        "[...document.querySelectorAll('main button')].filter((it) => it.checkVisibility()).length";
    assert_eq!(browser.eval(buttons), 0, "nothing can be done to it");
}
