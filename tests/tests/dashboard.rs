//! The dashboard as people meet it: in a real browser, on a real daemon with real plugins.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

#[path = "dashboard/browser.rs"]
mod browser;
#[path = "dashboard/forward.rs"]
mod forward;
#[path = "dashboard/guarded.rs"]
mod guarded;
#[path = "dashboard/operating.rs"]
mod operating;
#[path = "dashboard/scene.rs"]
mod scene;
#[path = "dashboard/senses.rs"]
mod senses;

use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::{bytes, fixture, workspace};
use bulkhead_tests::folder::Folder;
use fantoccini::key::Key;
use serde_json::{Value, json};

use forward::Door;
use scene::Scene;

const SEND: &str = ".try form button[type=submit]";

/// What a page's own address may ask for.
fn assert_asks_nobody_else(scene: &Scene) {
    let own = format!("http://{}/", scene.daemon.address());
    let requests = scene.browser.requests();
    assert!(
        requests.iter().any(|it| it.contains("/assets/main.js")),
        "{requests:?}"
    );
    let is_own = |url: &&String| {
        !["blob:", "data:", "chrome://"]
            .iter()
            .any(|it| url.starts_with(it))
    };
    let foreign: Vec<_> = requests
        .iter()
        .filter(is_own)
        .filter(|url| !url.starts_with(&own))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn every_page_loads_without_complaint_and_asks_nobody_else() {
    let Some(scene) = Scene::of(&["palette", "qr"]) else {
        return;
    };
    let browser = scene.open("");
    browser.until_text(".plugins tbody tr", "palette");
    browser.until_text(".tiles", "ready");
    browser.until_text(".events", "host ready");
    assert_eq!(
        browser.eval("document.querySelectorAll('.plugins tbody tr').length"),
        2
    );
    let generation = scene.daemon.plugin("qr")["generation"].clone();
    browser.until_text(".plugins tbody tr", generation.as_str().unwrap());
    for (route, shown) in [
        ("plugins/qr", "formats"),
        ("try/palette", "colours"),
        ("jobs", "Status"),
        ("events", "host ready"),
        ("nowhere", "No such page"),
    ] {
        scene.open(route);
        browser.until_text("main", shown);
    }
    assert_eq!(browser.console(), Vec::<String>::new());
    assert_asks_nobody_else(&scene);
}

#[test]
fn the_policy_forbids_what_the_page_does_not_need() {
    let Some(scene) = Scene::of(&[]) else { return };
    let browser = scene.open("");
    let becomes_markup = "(() => { try { document.body.insertAdjacentHTML('beforeend', '<p id=made>'); } catch { return 'refused'; } return 'made'; })()";
    assert_eq!(browser.eval(becomes_markup), "refused");
    browser.eval("document.body.append(Object.assign(document.createElement('img'), { src: 'http://192.0.2.1/x.png' }))");
    browser.until("(window.seen ??= []).length || document.addEventListener('securitypolicyviolation', (it) => window.seen.push(it.blockedURI)) || document.body.append(Object.assign(document.createElement('img'), { src: 'http://192.0.2.1/y.png' }))");
    let page = scene.daemon.get("/");
    let asset = scene.daemon.get("/assets/main.js");
    assert_eq!((page.status, asset.status), (200, 200));
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        asset.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'self';")
    );
    let unknown = scene.daemon.get("/assets/mod.rs");
    assert_eq!(
        unknown.brief(),
        "404 ValidationError not_found: no route `/assets/mod.rs`"
    );
}

#[test]
fn a_crash_is_seen_in_the_events_and_on_the_plugins_page() {
    let Some(scene) = Scene::of(&["fixture-faults"]) else {
        return;
    };
    let browser = scene.open("");
    browser.until_text(".plugins tbody tr", "faults");
    let answer = scene.daemon.call("faults", &way("segv"));
    assert_eq!(answer.status, 502, "{}", answer.body);
    browser.until_text(".events li.bad", "crashed faults");
    browser.click(".plugins a[href='#/plugins/faults']");
    browser.until_text(".events[aria-label='Crashes of faults'] li", "SIGSEGV");
    browser.until_text(".errors summary", "crash");
    browser.click(".errors summary");
    browser.until_text(".errors .failure", "ExecutionError");
    browser.until_text(".errors pre", "fixture_faults");
    browser.until_text(".facts", "Crashes");
}

#[test]
fn a_plugin_is_disabled_and_enabled_by_keyboard_alone() {
    let Some(scene) = Scene::of(&["palette"]) else {
        return;
    };
    let browser = scene.open("plugins/palette");
    browser.until_text("main .buttons", "Disable");
    let press = |verb: &str, lifecycle: &str| {
        browser.tab_to(verb);
        browser.press(Key::Enter);
        browser.until("document.querySelector('dialog[open]')");
        // The focus is inside, and on what was asked for.
        assert_eq!(browser.focused(), verb);
        browser.press(Key::Enter);
        scene.daemon.wait_for("palette", "lifecycle", lifecycle);
        browser.until_text(
            ".outcome",
            &format!("{verb} is done: palette is {}", lifecycle.to_lowercase()),
        );
        browser.until("document.activeElement.matches('main .buttons button')");
    };
    press("Disable", "DISABLED");
    browser.eval("document.getElementById('skip').focus()");
    press("Enable", "READY");
    browser.eval("document.getElementById('skip').focus()");
    browser.tab_to("Disable");
    browser.press(Key::Enter);
    browser.until("document.querySelector('dialog[open]')");
    browser.press(Key::Escape);
    browser.until("!document.querySelector('dialog')");
    assert_eq!(browser.focused(), "Disable");
    assert_eq!(scene.daemon.plugin("palette")["lifecycle"], "READY");
}

#[test]
fn corners_are_drawn_where_the_plugin_says_they_are() {
    let Some(scene) = Scene::of(&["qr"]) else {
        return;
    };
    let browser = scene.open("try/qr");
    browser.until("document.querySelector('.fields')");
    scene.choose("qr-ticket.png");
    browser.click(SEND);
    browser.until("document.querySelector('.overlay polygon')");
    let picture = std::fs::read(workspace().join("tests/pictures/qr-ticket.png")).unwrap();
    let answer = scene
        .daemon
        .post_raw("qr", "image/png", &picture, &json!({}));
    let corners = answer.result()["codes"][0]["corners"]
        .as_array()
        .unwrap()
        .clone();
    let points: Vec<_> = corners
        .iter()
        .map(|it| format!("{},{}", it["x"], it["y"]))
        .collect();
    let drawn = browser.eval("document.querySelector('.overlay polygon').getAttribute('points')");
    assert_eq!(drawn, points.join(" "));
    assert_eq!(
        browser.eval("document.querySelector('.overlay').getAttribute('viewBox')"),
        "0 0 370 370"
    );
    // As large as the picture beneath, and at the same place.
    let covers = "(() => { const [a, b] = ['.overlay', '.picture img'].map((it) => document.querySelector(it).getBoundingClientRect()); \
                  return Math.abs(a.left - b.left) + Math.abs(a.top - b.top) + Math.abs(a.width - b.width) + Math.abs(a.height - b.height); })()";
    assert!(
        browser.eval(covers).as_f64().unwrap() < 2.0,
        "{}",
        browser.eval(covers)
    );
    browser.until_text(".drawn li", "https://example.org/bulkhead?ticket=4711");
    browser.until_text("pre.curl", "plugin=qr");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn colours_are_swatches_and_attachments_are_pictures() {
    let Some(scene) = Scene::of(&["palette", "thumbnail"]) else {
        return;
    };
    let browser = scene.open("try/palette");
    browser.until("document.querySelector('.fields')");
    scene.choose("coffee.png");
    browser.refill(".fields .field input[type=number]", "3");
    browser.click(SEND);
    browser.until("document.querySelectorAll('.palette li').length === 3");
    browser.until_text("pre.curl", "%22colours%22%3A3");
    let same = "[...document.querySelectorAll('.palette li')].every((it) => { const [r, g, b] = it.querySelector('.swatch').style.backgroundColor.match(/\\d+/g).map(Number); \
                return it.querySelector('code').textContent === '#' + [r, g, b].map((n) => n.toString(16).padStart(2, '0')).join(''); })";
    assert_eq!(browser.eval(same), true);
    let browser = scene.open("try/thumbnail");
    browser.until("document.querySelector('.fields')");
    scene.choose("coffee.png");
    browser.click(SEND);
    browser.until("document.querySelector('.attachment img')?.naturalWidth === 256");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn options_are_checked_before_they_are_sent_and_refusals_stand_at_their_field() {
    let Some(scene) = Scene::of(&["palette", "qr"]) else {
        return;
    };
    let browser = scene.open("try/palette");
    browser.until("document.querySelector('.fields')");
    browser.click(SEND);
    browser.until_text("#said", "Choose a picture first.");
    scene.choose("coffee.png");
    for (number, complaint) in [
        ("17", "colours is 1 to 16"),
        ("2.5", "colours is a whole number"),
    ] {
        browser.refill(".fields .field input[type=number]", number);
        browser.click(SEND);
        browser.until_text(".fields .wrong", complaint);
        assert_eq!(
            browser.eval("document.activeElement.getAttribute('aria-invalid')"),
            "true"
        );
    }
    assert_eq!(scene.daemon.plugin("palette")["error_count"], 0);
    // What only the host knows to be wrong.
    browser.click(".choice input[type=checkbox]");
    browser.refill("textarea", "{\"colours\": 99}");
    browser.click(SEND);
    browser.until_text(".result-of-try .failure", "invalid_options");
    browser.until_text(".result-of-try .failure li", "/colours");
    scene.open("try/qr");
    browser.until("document.querySelector('.choices input')");
    browser.click(".choices input");
    scene.choose("qr-ticket.png");
    browser.click(SEND);
    browser.until_text("fieldset .wrong", "at least 1 of them");
}

const HOSTILE: &str = "<img src=x onerror=window.pwned=1>";

/// A build of the palette whose description is markup.
fn hostile_build() -> Vec<u8> {
    const SUMMARY: &[u8] = b"The dominant colours of a picture and their shares";
    let mut build = bytes(&fixture("palette"));
    let places: Vec<_> = build
        .windows(SUMMARY.len())
        .enumerate()
        .filter(|(_, it)| *it == SUMMARY)
        .map(|(at, _)| at)
        .collect();
    assert!(
        !places.is_empty(),
        "the plugin says of itself something else"
    );
    for at in places {
        build[at..at + HOSTILE.len()].copy_from_slice(HOSTILE.as_bytes());
    }
    build
}

#[test]
fn texts_of_others_are_inert() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    folder.put("libpalette.so", &hostile_build());
    folder.put(&format!("lib{HOSTILE}.so"), HOSTILE.as_bytes());
    let Some(scene) = Scene::in_folder(&folder, "") else {
        return;
    };
    let description = scene.daemon.plugin("palette")["description"].clone();
    assert!(
        description.as_str().unwrap().starts_with(HOSTILE),
        "{description}"
    );
    let answer = scene.daemon.call("misbehaves", &json!({ "way": HOSTILE }));
    assert!(answer.brief().contains(HOSTILE), "{}", answer.body);
    let check = |route: &str, place: &str| {
        let browser = scene.open(route);
        browser.until_text(place, HOSTILE);
        assert_eq!(browser.eval("window.pwned ?? null"), Value::Null, "{route}");
        assert_eq!(
            browser.eval("document.querySelectorAll('[onerror]').length"),
            0,
            "{route}"
        );
    };
    check("", ".reasons");
    check("", ".jobs");
    check("events", ".events");
    check("plugins/palette", "main");
    check("plugins/misbehaves", ".errors");
    check("try/palette", "form");
    check("jobs", ".jobs");
    let job = scene.daemon.get("/v1/jobs?kind=all&status=FAILED").body["items"][0]["id"].clone();
    check(&format!("jobs/{}", job.as_str().unwrap()), ".failure");
    check("plugins/%3Cimg%20src=x%20onerror=window.pwned=1%3E", "h1");
    let mut complaints = scene.browser.console();
    // Of the plugin that is not served.
    complaints.retain(|it| !it.contains("/v1/plugins/%3Cimg"));
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn a_restart_of_the_daemon_is_told_and_recovered_from() {
    let folder = Folder::of(&fixture("palette"));
    let Some(Scene { browser, daemon }) = Scene::in_folder(&folder, "") else {
        return;
    };
    let door = Door::to(daemon.address());
    browser.open(&door.url());
    browser.until_text(".plugins tbody tr", "palette");
    drop(daemon);
    browser.until_text("#away", "The host does not answer");
    browser.until_text(".tiles", "away");
    let daemon = Daemon::start(&folder, "");
    door.lead_to(daemon.address());
    browser.until("document.getElementById('away').hidden");
    browser.until_text(".tiles", "ready");
    // The stream of events goes on too: what happens now is seen.
    assert_eq!(daemon.act("palette", "disable").status, 200);
    browser.until_text(".events li", "disabled palette");
    browser.until_text(".live", "live");
    browser.until_text(".plugins tbody tr", "disabled");
}

#[test]
fn every_page_is_fit_for_all_in_light_and_dark_and_on_a_narrow_screen() {
    let fitness = include_str!("dashboard/fitness.js");
    let fitness = fitness
        .trim_start_matches(|it| it != '\n')
        .trim()
        .trim_end_matches(';');
    let folder = Folder::of(&fixture("palette")).with(&fixture("fixture-misbehaves"));
    folder.put("libbroken.so", b"no library");
    let Some(scene) = Scene::in_folder(&folder, "") else {
        return;
    };
    let browser = &scene.browser;
    scene.daemon.call("misbehaves", &way("panic"));
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for (route, shown) in [
            ("", ".plugins tbody tr"),
            ("plugins/misbehaves", ".errors li"),
            ("plugins/palette", ".schema tbody tr"),
            ("try/palette", ".fields input"),
            ("jobs", ".jobs tbody tr"),
            ("events", ".events li"),
        ] {
            scene.open(route);
            browser.until(&format!("document.querySelector({})", json!(shown)));
            assert_eq!(browser.eval(fitness), json!([]), "{scheme} {route}");
        }
        choose_and_send(&scene);
        assert_eq!(browser.eval(fitness), json!([]), "{scheme} result");
        grounds.push(browser.eval("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
    // The switch is stronger than the system, and is remembered.
    browser.eval("(() => { const list = document.getElementById('theme'); list.value = 'light'; list.dispatchEvent(new Event('change')); })()");
    assert_eq!(
        browser.eval("getComputedStyle(document.body).backgroundColor"),
        grounds[0]
    );
    scene.open("jobs");
    assert_eq!(
        browser.eval("getComputedStyle(document.body).backgroundColor"),
        grounds[0]
    );
    browser.narrow(360);
    for route in ["", "plugins/palette", "try/palette", "jobs", "events"] {
        scene.open(route);
        browser.until("document.querySelector('main h1')");
        let spills = "document.documentElement.scrollWidth - window.innerWidth";
        assert!(browser.eval(spills).as_f64().unwrap() <= 0.0, "{route}");
    }
}

fn choose_and_send(scene: &Scene) {
    let browser = scene.open("try/palette");
    browser.until("document.querySelector('.fields')");
    scene.choose("coffee.png");
    browser.click(SEND);
    browser.until("document.querySelector('.palette li')");
}
