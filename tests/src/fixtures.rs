//! Plugins that tests load as files, and the binary that loads them: each built once per process by
//! cargo, or taken ready from where `tests/run` has built it.

use std::collections::HashMap;
use std::env::{self, consts};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

/// The library of a workspace package: a fixture, or one of the plugins that we ship.
pub fn fixture(package: &str) -> PathBuf {
    ready("BULKHEAD_FIXTURES", &library_name(package))
        .unwrap_or_else(|| build(&["--package", package]))
}

/// The `bulkhead` binary.
pub fn bulkhead() -> PathBuf {
    match env::var_os("BULKHEAD_BIN") {
        Some(binary) => binary.into(),
        None => build(&["--package", "bulkhead", "--bin", "bulkhead"]),
    }
}

/// The `bulkhead` binary with the places where tests end it.
pub fn failpoints() -> PathBuf {
    match env::var_os("BULKHEAD_FAILPOINTS") {
        Some(binary) => binary.into(),
        None => {
            // In a folder of its own: the other binary has the same name.
            let target = text(&target().join("failpoints"));
            let binary = ["--package", "bulkhead", "--bin", "bulkhead"];
            let with = ["--features", "bulkhead/failpoints", "--target-dir", &target];
            build(&[&binary[..], &with[..]].concat())
        }
    }
}

/// A plugin without the SDK, on a frozen copy of its types: a folder in `tests/frozen`.
pub fn frozen(name: &str) -> PathBuf {
    let manifest = format!("tests/frozen/{name}/Cargo.toml");
    let target = target().join("frozen");
    let library = target
        .join("debug")
        .join(library_name(&format!("frozen-{name}")));
    ready_too(library).unwrap_or_else(|| {
        build(&[
            "--locked",
            "--manifest-path",
            &manifest,
            "--target-dir",
            &text(&target),
        ])
    })
}

/// The misbehaving plugin, built so that a panic ends its process.
pub fn panic_abort() -> PathBuf {
    const PACKAGE: &str = "fixture-misbehaves";
    let target = target().join("panic-abort");
    let library = target.join("debug").join(library_name(PACKAGE));
    ready_too(library).unwrap_or_else(|| {
        let abort = r#"profile.dev.panic="abort""#;
        let target = text(&target);
        build(&[
            "--package",
            PACKAGE,
            "--config",
            abort,
            "--target-dir",
            &target,
        ])
    })
}

/// One of the pictures in `tests/pictures`.
pub fn picture(name: &str) -> Vec<u8> {
    let path = workspace().join("tests/pictures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bytes of a plugin's file.
pub fn bytes(library: &Path) -> Vec<u8> {
    std::fs::read(library).unwrap()
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the workspace")
}

fn library_name(package: &str) -> String {
    let name = package.replace('-', "_");
    format!("{}{name}{}", consts::DLL_PREFIX, consts::DLL_SUFFIX)
}

fn ready(variable: &str, file: &str) -> Option<PathBuf> {
    let path = Path::new(&env::var_os(variable)?).join(file);
    path.exists().then_some(path)
}

/// What `tests/run` has built beside the fixtures.
fn ready_too(library: PathBuf) -> Option<PathBuf> {
    let is_ready = env::var_os("BULKHEAD_FIXTURES").is_some() && library.exists();
    is_ready.then_some(library)
}

/// Runs `cargo build`, and gives what it has built last.
fn build(arguments: &[&str]) -> PathBuf {
    static BUILT: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let mut built = BUILT
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let key = arguments.join(" ");
    let path = built.entry(key).or_insert_with(|| build_now(arguments));
    path.clone()
}

fn build_now(arguments: &[&str]) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json"])
        .args(arguments)
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let file = last_artifact(&output.stdout);
    assert!(output.status.success(), "cargo build {arguments:?}");
    file.unwrap_or_else(|| panic!("cargo build {arguments:?} has built nothing"))
}

fn last_artifact(messages: &[u8]) -> Option<PathBuf> {
    let lines = messages.split(|&byte| byte == b'\n');
    let mut files = lines.filter_map(|line| {
        let message: Value = serde_json::from_slice(line).ok()?;
        let executable = message["executable"].as_str();
        let file = executable.or_else(|| message["filenames"][0].as_str())?;
        Some(PathBuf::from(file))
    });
    files.next_back()
}

/// The folder that this very test was built into.
fn target() -> PathBuf {
    let test = env::current_exe().unwrap();
    let target = test.ancestors().nth(3);
    target.expect("tests are in target/PROFILE/deps").to_owned()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a target folder in UTF-8").to_owned()
}
