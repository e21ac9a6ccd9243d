//! What a running daemon takes over at its edge when it reads its settings again: its names, the paces of tokens and
//! where its certificate is; and that the log names what waits for a restart.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::{cli, raw, wait};
use rcgen::generate_simple_self_signed;

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    wait::until(what, || is_so().then_some(()));
}

#[test]
fn names_come_and_go() {
    let daemon = Daemon::start(&Folder::new(), "");
    let ask = || {
        let request =
            "GET /healthz HTTP/1.1\r\nHost: plugins.example.com\r\nConnection: close\r\n\r\n";
        raw::talk(daemon.address(), request)[0].status
    };
    assert_eq!(ask(), 403);
    daemon.configure("server.hosts = ['*.example.com']");
    until("its name to be known", || ask() == 200);
    daemon.configure("server.hosts = ['other.example.com']");
    until("its name to be forgotten", || ask() == 403);
}

#[test]
fn tokens_have_another_pace() {
    let folder = Folder::new();
    let state = folder.beside("state");
    let create = ["token", "create", "me", "--role", "analyze", "--state"];
    let made = cli::run(&[&create[..], &[state.to_str().unwrap()]].concat());
    assert_eq!(made.exit, 0, "{}", made.stderr);
    let token = made.stdout.trim();
    let daemon = Daemon::start(&folder, "");
    let refused = || {
        let ask = || {
            daemon
                .request_as(token, "GET", "/v1/plugins")
                .send(&[], b"")
        };
        let refused = (0..20).map(|_| ask().status).find(|status| *status != 200);
        refused.unwrap_or(200)
    };
    assert_eq!(refused(), 200);
    daemon.configure("[access]\nrate = 1\nburst = 2");
    until("the token to be held back", || refused() == 429);
    daemon.configure("[access]\nrate = 0\nburst = 2");
    until("the token to be free", || refused() == 200);
}

#[test]
fn a_certificate_elsewhere_is_taken_over_and_no_tls_waits() {
    let folder = Folder::new();
    let certify = |name: &str| {
        let pair = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (
            folder.beside(&format!("{name}.pem")),
            folder.beside(&format!("{name}.key")),
        );
        fs::write(&certificate, pair.cert.pem()).unwrap();
        fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        let [shown, key] = [&certificate, &key].map(|path| path.display());
        let config = format!("server.tls = {{ certificate = '{shown}', key = '{key}' }}");
        (certificate, config)
    };
    let ((first, before), (second, after)) = (certify("first"), certify("second"));
    let daemon = Daemon::start(&folder, &before);
    let at = format!("https://localhost:{}", daemon.address().port());
    let is_shown = |certificate: &std::path::Path| {
        let ca = ["--ca-file", certificate.to_str().unwrap()];
        cli::run(&[&["plugins", "list", "--daemon", &at][..], &ca].concat()).exit == 0
    };
    assert!(is_shown(&first) && !is_shown(&second));
    daemon.configure(&after);
    until("the other certificate to be shown", || is_shown(&second));
    assert!(!is_shown(&first));
    assert!(!daemon.log().contains("wait for a restart"));

    daemon.configure("server.drain = '1s'");
    let waits = daemon.line("what waits", |line| {
        line.to_string().contains("wait for a restart")
    });
    let waits = waits.to_string();
    for key in ["server.tls", "server.drain"] {
        assert!(waits.contains(key), "{waits}");
    }
    assert!(is_shown(&second));
}
