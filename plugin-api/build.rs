//! Notes which compiler builds the SDK, and so the plugin: `bulkhead plugins` shows it.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let text = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!(
        "cargo::rustc-env=BULKHEAD_RUSTC={}",
        text.unwrap_or_default()
    );
    println!("cargo::rerun-if-changed=build.rs");
}
