//! A host that wants tokens: the page asks for one, and offers what its role may do.

use bulkhead_tests::cli;
use bulkhead_tests::daemon::IMAGE;
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use fantoccini::key::Key;

use crate::browser::Browser;
use crate::scene::Scene;

const ASKED: &str = "document.querySelector('dialog[open] input[type=password]')";
const USE: &str = "dialog button[type=submit]";
const NEEDS_OPERATE: &str = "takes a token of the role operate";

fn token(folder: &Folder, arguments: &[&str]) -> String {
    let state = folder.beside("state");
    let ended = cli::run(&[&["token"], arguments, &["--state", state.to_str().unwrap()]].concat());
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

/// Gives a token to the page that asks for one.
fn give(browser: &Browser, token: &str) {
    browser.until(ASKED);
    browser.fill("dialog input", token);
    browser.click(USE);
}

#[test]
fn a_token_is_asked_for_once_and_what_its_role_may_not_do_is_not_offered() {
    let folder = Folder::of(&fixture("fixture-faults"));
    let [mine, theirs] =
        ["analyze", "operate"].map(|role| token(&folder, &["create", role, "--role", role]));
    let Some(scene) = Scene::in_folder(&folder, "[access]\nloopback = 'token'\n") else {
        return;
    };
    for token in [&mine, &theirs] {
        let path = "/v1/analyze?plugin=faults&options=%7B%22way%22%3A%22segv%22%7D";
        let request = scene.daemon.request_as(token, "POST", path);
        let answer = request.send(&[("content-type", "image/x-any")], IMAGE);
        assert_eq!(answer.status, 502, "{}", answer.body);
    }
    let browser = &scene.browser;
    is_asked_until_it_has_one(&scene, &mine);
    an_analyst_sees_their_own(&scene);
    browser.click("#who button");
    give(browser, &theirs);
    an_operator_sees_all(&scene);
    // What is revoked is asked for anew, and another token is another page.
    token(&folder, &["revoke", "operate"]);
    browser.until(ASKED);
    browser.until_text("dialog[open]", "The token was refused");
    give(browser, &mine);
    browser.until_text("#who", "analyze (analyze)");
    browser.until_text("main", NEEDS_OPERATE);
}

fn is_asked_until_it_has_one(scene: &Scene, good: &str) {
    let browser = &scene.browser;
    browser.go(&scene.url("plugins/faults"));
    browser.until(ASKED);
    assert_eq!(
        browser.eval("document.activeElement.type"),
        "password",
        "the focus is in it"
    );
    browser.press(Key::Escape);
    browser.until_text("main .failure", "a token is needed here");
    browser.until("document.documentElement.dataset.ready === 'yes'");
    assert_eq!(
        browser.eval("document.querySelectorAll('dialog').length"),
        0
    );
    let asked = browser.requests();
    assert!(
        asked.iter().all(|it| !it.contains("/v1/plugins")),
        "it goes on asking in vain: {asked:?}"
    );
    browser.click("#who button");
    // The last is one that no header can carry.
    for wrong in ["bhk_000000000000_AAAA", "no token", "t\u{f6}ken\u{2026}"] {
        give(browser, wrong);
        browser.until_text("dialog[open]", "The token was refused");
    }
    give(browser, good);
    browser.until_text("#who", "analyze (analyze)");
}

fn an_analyst_sees_their_own(scene: &Scene) {
    let browser = &scene.browser;
    browser.until_text("main", NEEDS_OPERATE);
    let offered = "[...document.querySelectorAll('button, nav a')].filter((it) => it.checkVisibility()).map((it) => it.innerText).join()";
    assert_eq!(browser.eval(offered), "Host,Try it,Jobs,Forget the token");
    browser.click(".errors summary");
    browser.until_text(".errors .failure", "SIGSEGV");
    browser.click(".errors li a");
    browser.until_text("h1", "Job");
    browser.until_text(".failure", "SIGSEGV");
    assert_eq!(
        browser.eval("document.querySelectorAll('pre').length"),
        0,
        "a backtrace"
    );
    browser.click("nav a[href='#/jobs']");
    browser.until("document.querySelectorAll('.jobs tbody tr').length === 1");
    scene.open("events");
    browser.until_text("main", NEEDS_OPERATE);
    let mut complaints = browser.console();
    // Those of the tokens that were wrong, and what a browser says of any field for secrets.
    complaints.retain(|it| !it.contains("401") && !it.contains("Password forms should have"));
    assert_eq!(complaints, Vec::<String>::new());
}

fn an_operator_sees_all(scene: &Scene) {
    let browser = &scene.browser;
    browser.until_text("#who", "operate (operate)");
    browser.until_text(".events", "crashed faults");
    scene.open("plugins/faults");
    browser.until_text("main .buttons", "Disable Reload Roll back");
    browser.until("document.querySelectorAll('.errors li').length === 2");
    browser.click(".errors summary");
    browser.until_text(".errors pre", "fixture_faults");
    browser.until_text(".events[aria-label='Crashes of faults'] li", "SIGSEGV");
}
