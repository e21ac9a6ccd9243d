//! What benchmarks call with, and what they call.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;

/// The plugin, built as plugins are shipped.
pub(crate) fn fixture(plugin: &str) -> PathBuf {
    let (package, library) = (format!("fixture-{plugin}"), format!("fixture_{plugin}"));
    let build = [
        "build",
        "--release",
        "--package",
        &package,
        "--message-format",
        "json",
    ];
    let built = Command::new(env!("CARGO")).args(build).output().unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let messages = String::from_utf8(built.stdout).unwrap();
    let messages = messages
        .lines()
        .map(serde_json::from_str::<serde_json::Value>);
    let mut artifacts = messages.map(Result::unwrap).filter(|message| {
        message["reason"] == "compiler-artifact" && message["target"]["name"] == *library
    });
    let artifact = artifacts.next().expect("cargo names what it built");
    artifact["filenames"][0]
        .as_str()
        .expect("a cdylib has one file")
        .into()
}

/// A PNG's head, which the host's checks read, and as many bytes as asked for.
pub(crate) fn picture(size: usize) -> Bytes {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x02\0\0\0".to_vec();
    bytes.resize(size, 0);
    bytes.into()
}
