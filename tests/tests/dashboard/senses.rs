//! The page by keyboard, by ear, and with a picture from elsewhere.

use bulkhead_tests::daemon::way;
use bulkhead_tests::fixtures::workspace;
use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::scene::Scene;

/// What must say what it is.
const NAMED: [&str; 15] = [
    "button",
    "link",
    "textbox",
    "searchbox",
    "spinbutton",
    "combobox",
    "checkbox",
    "img",
    "image",
    "table",
    "region",
    "navigation",
    "dialog",
    "progressbar",
    "heading",
];

#[test]
fn all_has_a_name_and_a_picture_is_tried_by_keyboard() {
    let Some(scene) = Scene::of(&["qr", "palette", "fixture-faults"]) else {
        return;
    };
    scene.daemon.call("faults", &way("panic"));
    all_has_a_name(&scene);
    a_picture_is_dropped(&scene);
    a_picture_is_pasted_and_sent_by_keyboard(&scene);
    assert_eq!(scene.browser.console(), Vec::<String>::new());
}

fn all_has_a_name(scene: &Scene) {
    let browser = &scene.browser;
    for (route, shown, spoken) in [
        ("", ".plugins tbody tr", "link palette"),
        ("plugins/faults", ".errors li", "button Disable"),
        ("try/qr", ".fields", "group formats"),
        ("jobs", ".jobs tbody tr", "combobox Status"),
        ("events", ".events li", "searchbox Only those with"),
    ] {
        scene.open(route);
        browser.until(&format!("document.querySelector({})", json!(shown)));
        let spoken_of = browser.spoken();
        let nameless: Vec<_> = spoken_of
            .iter()
            .filter(|it| NAMED.contains(&it.trim()))
            .collect();
        assert!(nameless.is_empty(), "{route}: {nameless:?}");
        assert!(
            spoken_of.iter().any(|it| it == spoken),
            "{route}: {spoken_of:?}"
        );
    }
    scene.open("plugins/palette");
    browser.until_text("main .buttons", "Disable");
    browser.tab_to("Disable");
    browser.press(Key::Enter);
    browser.until("document.querySelector('dialog[open]')");
    let spoken = browser.spoken();
    assert!(
        spoken.contains(&"dialog Disable palette?".to_owned()),
        "{spoken:?}"
    );
    browser.press(Key::Escape);
}

fn a_picture_is_dropped(scene: &Scene) {
    let picture = workspace().join("tests/pictures/qr-ticket.png");
    let browser = scene.open("try/qr");
    browser.until("document.querySelector('.fields')");
    // Beside the area too: else the browser would leave for the picture.
    for kind in ["dragEnter", "dragOver", "drop"] {
        let what = json!({ "items": [], "files": [picture], "dragOperationsMask": 1 });
        let event = json!({ "type": kind, "x": 900, "y": 600, "data": what });
        browser.command("Input.dispatchDragEvent", &event);
    }
    browser.until_text(".drop [role=status]", "qr-ticket.png, image/png");
    assert_eq!(
        browser.eval("document.getElementById('picture').files[0].name"),
        "qr-ticket.png"
    );
}

/// Puts a picture of one colour into the clipboard.
fn copy(browser: &Browser) {
    browser.command(
        "Emulation.setFocusEmulationEnabled",
        &json!({ "enabled": true }),
    );
    let permissions = json!(["clipboardReadWrite", "clipboardSanitizedWrite"]);
    browser.command(
        "Browser.grantPermissions",
        &json!({ "permissions": permissions }),
    );
    browser.eval(
        "(async () => { \
           const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 30 }); \
           const pen = canvas.getContext('2d'); \
           pen.fillStyle = '#123456'; \
           pen.fillRect(0, 0, 40, 30); \
           const blob = await new Promise((resolve) => canvas.toBlob(resolve)); \
           await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]); \
         })()",
    );
}

fn a_picture_is_pasted_and_sent_by_keyboard(scene: &Scene) {
    let browser = &scene.browser;
    copy(browser);
    let stroke = json!({
        "type": "keyDown", "key": "v", "code": "KeyV", "windowsVirtualKeyCode": 86, "modifiers": 2, "commands": ["paste"],
    });
    browser.command("Input.dispatchKeyEvent", &stroke);
    browser.until_text(".drop [role=status]", "image.png, image/png");
    browser.eval("document.getElementById('skip').focus()");
    let goes_to = |what: &str| {
        let is_there = format!(
            "document.activeElement.labels?.[0]?.innerText.startsWith({})",
            json!(what)
        );
        let found = (0..50).any(|_| {
            browser.press(Key::Tab);
            browser.eval(&is_there) == true
        });
        assert!(found, "no way by tabulator to {what}");
    };
    goes_to("Plugin");
    // As a list is used without a mouse: by the first letter.
    browser.type_here("pal");
    browser.until_text(".fields", "colours");
    goes_to("colours");
    browser.type_here("\u{e010}\u{e003}3");
    browser.tab_to("Send");
    browser.press(Key::Enter);
    browser.until_text(".palette li", "#123456");
    // Where the answer is, there the focus is, and behind it goes on.
    browser.until("document.activeElement.matches('.result-of-try')");
    browser.tab_to("Copy");
    let spoken = browser.spoken();
    assert!(
        spoken.contains(&"image The picture image.png".to_owned()),
        "{spoken:?}"
    );
    browser.press(Key::Enter);
    let copied = browser.eval("navigator.clipboard.readText()");
    let Value::String(copied) = copied else {
        panic!("{copied}");
    };
    assert!(
        copied.contains("%22colours%22%3A3") && copied.starts_with("curl "),
        "{copied}"
    );
}
