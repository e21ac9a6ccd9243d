//! TLS: which protocol is spoken on it, whose certificate is shown, and what is told where there is none.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bulkhead_tests::cli;
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::http2::{Http2, get};
use bulkhead_tests::{raw, wait};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A daemon with a certificate, and where that is.
struct Scene {
    folder: Folder,
    certificate: PathBuf,
    key: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = Folder::new();
        let (certificate, key) = (folder.beside("host.pem"), folder.beside("host.key"));
        let scene = Self {
            folder,
            certificate,
            key,
        };
        scene.renew();
        scene
    }

    /// Writes a new certificate, and gives it.
    fn renew(&self) -> String {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        fs::write(&self.certificate, cert.pem()).unwrap();
        fs::write(&self.key, signing_key.serialize_pem()).unwrap();
        cert.pem()
    }

    fn config(&self) -> String {
        let [certificate, key] = [&self.certificate, &self.key].map(|it| it.display());
        format!(
            "server.tls = {{ certificate = '{certificate}', key = '{key}' }}\nserver.header_timeout = '500ms'\n"
        )
    }

    fn start(&self) -> Daemon {
        Daemon::start(&self.folder, &self.config())
    }

    /// What a start that fails says.
    fn refused(&self) -> String {
        let file = self.folder.beside("bulkhead.toml");
        fs::write(&file, self.config()).unwrap();
        let (plugins, state) = (self.folder.path(), self.folder.beside("state"));
        let [plugins, state, file] = [&plugins, &state, &file].map(|it| it.to_str().unwrap());
        let ended = cli::run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--plugins",
            plugins,
            "--state",
            state,
            "--config",
            file,
        ]);
        assert_eq!(ended.exit, 78, "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
        ended.stderr
    }
}

/// Shakes hands with a daemon that has to show this certificate.
async fn shake(
    daemon: &Daemon,
    certificate: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(daemon.address()).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn either_version_is_spoken() {
    let scene = Scene::new();
    let daemon = scene.start();
    let certificate = fs::read_to_string(&scene.certificate).unwrap();
    for alpn in [&["http/1.1"][..], &[]] {
        let mut client = shake(&daemon, &certificate, alpn).await.unwrap();
        client.write_all(ASK.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(raw::answers(&answer)[0].status, 200, "{alpn:?}");
    }
    let client = shake(&daemon, &certificate, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let client = Http2::on(client).await;
    assert_eq!(client.ask(get("https://localhost/healthz")).await.0, 200);
    assert_eq!(client.ask(get("https://evil.example/healthz")).await.0, 403);
    // A client that prefers neither of them is told so by TLS itself.
    shake(&daemon, &certificate, &["spdy/3"]).await.unwrap_err();
}

#[test]
fn who_speaks_no_tls_is_told_so_and_holds_nobody_up() {
    let scene = Scene::new();
    let daemon = scene.start();
    let idle = raw::send(daemon.address(), "");
    let half = raw::send(daemon.address(), b"\x16\x03\x01\x02\x00\x01");
    let answers = raw::talk(daemon.address(), ASK);
    let expected = "400 malformed_request: this port speaks TLS";
    assert!(answers[0].brief().starts_with(expected), "{answers:?}");
    assert_eq!(daemon.get("/healthz").status, 200);
    for silent in [idle, half] {
        assert_eq!(raw::read(silent), b"");
    }
    let noise = raw::read(raw::send(daemon.address(), b"\x16\x03\x01\x00\x05aaaaa"));
    // An alert, at most.
    assert!(noise.len() < 16, "{noise:?}");
    // The connection of the first time may have been idle for too long meanwhile.
    wait::until("it to answer", || {
        let answer = daemon.try_get("/healthz").ok()?;
        (answer.status == 200).then_some(())
    });
}

/// One that was cut off on its way would look the same without a farewell.
#[tokio::test]
async fn who_was_idle_too_long_is_told_that_the_connection_ends() {
    let scene = Scene::new();
    let config = scene.config() + "server.send_timeout = '500ms'\n";
    let daemon = Daemon::start(&scene.folder, &config);
    let certificate = fs::read_to_string(&scene.certificate).unwrap();
    let keep = ASK.replace("Connection: close\r\n", "");
    for (alpn, sent) in [("http/1.1", keep.as_str()), ("http/1.1", ""), ("h2", "")] {
        let mut client = shake(&daemon, &certificate, &[alpn]).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let ended = client.read_to_end(&mut said).await;
        assert!(ended.is_ok(), "{alpn} {sent:?}: {ended:?}");
        assert_eq!(
            sent.is_empty(),
            !said.starts_with(b"HTTP/1.1 200"),
            "{alpn}"
        );
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_over() {
    let scene = Scene::new();
    let daemon = scene.start();
    let old = fs::read_to_string(&scene.certificate).unwrap();
    shake(&daemon, &old, &[]).await.unwrap();
    let new = scene.renew();
    shake(&daemon, &new, &[]).await.unwrap_err();
    daemon.configure(&scene.config());
    wait::until("the certificate to be renewed", || {
        daemon
            .log()
            .contains("the certificate was renewed")
            .then_some(())
    });
    shake(&daemon, &new, &[]).await.unwrap();
    shake(&daemon, &old, &[]).await.unwrap_err();
    fs::write(&scene.key, "no key").unwrap();
    daemon.configure(&scene.config());
    wait::until("the certificate not to be renewed", || {
        daemon
            .log()
            .contains("the certificate was not renewed")
            .then_some(())
    });
    shake(&daemon, &new, &[]).await.unwrap();
}

#[test]
fn a_broken_pair_is_told_at_start() {
    let check = |spoil: &dyn Fn(&Scene), expected: &[&str]| {
        let scene = Scene::new();
        spoil(&scene);
        let said = scene.refused();
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    };
    check(
        &|it| fs::write(&it.key, "no key").unwrap(),
        &["server.tls.key", "a private key in PEM"],
    );
    check(
        &|it| fs::write(&it.certificate, "").unwrap(),
        &["server.tls.certificate", "a certificate in PEM"],
    );
    check(
        &|it| fs::remove_file(&it.key).unwrap(),
        &["server.tls.key", "No such file"],
    );
    check(
        &|it| {
            let key = fs::read(&it.key).unwrap();
            it.renew();
            fs::write(&it.key, key).unwrap();
        },
        &["is not that of the certificate"],
    );
    check(
        &|it| {
            let swapped = fs::read(&it.key).unwrap();
            fs::copy(&it.certificate, &it.key).unwrap();
            fs::write(&it.certificate, swapped).unwrap();
        },
        &["server.tls."],
    );
}
