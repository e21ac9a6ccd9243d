//! Plugins for tests: small libraries that the C compiler makes, whole or wrong in one way.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use abi_stable::library::AbiHeader;
use tempfile::TempDir;

/// The name in a sample that was not given another.
pub(crate) const NAME: &str = "sample-0000";

/// A library to build; the default is a good plugin.
pub(crate) struct Sample<'a> {
    /// The contents of the manifest's section, if there is to be one.
    pub(crate) manifest: Option<Vec<u8>>,
    /// The first bytes of the exported root module, if there is to be one.
    pub(crate) header: Option<[u8; 40]>,
    /// More C.
    pub(crate) code: &'a str,
    /// More for the compiler.
    pub(crate) flags: &'a [&'a str],
}

impl Default for Sample<'_> {
    fn default() -> Self {
        Self {
            manifest: Some(manifest(NAME)),
            header: Some(header()),
            code: "",
            flags: &[],
        }
    }
}

impl Sample<'_> {
    /// The bytes of the library.
    pub(crate) fn build(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("it.c"), folder.path().join("it.so"));
        fs::write(&source, self.source()).unwrap();
        compile(
            &[source.as_os_str(), "-o".as_ref(), library.as_os_str()],
            self.flags,
        );
        fs::read(library).unwrap()
    }

    fn source(&self) -> String {
        let array = |start: &str, bytes: &[u8]| format!("{start} = {{ {} }};\n", list(bytes));
        let manifest = self.manifest.as_ref().map(|bytes| {
            let place = r#"__attribute__((section(".note.bulkhead"), used, aligned(4)))"#;
            array(
                &format!("static const unsigned char manifest[] {place}"),
                bytes,
            )
        });
        let header = self.header.as_ref().map(|bytes| {
            array(
                "const unsigned char _1as_0lib_1header_0root_bmodule_bloader[48]",
                bytes,
            )
        });
        [
            manifest.unwrap_or_default(),
            header.unwrap_or_default(),
            self.code.to_owned(),
        ]
        .concat()
    }
}

/// A good plugin, built once.
pub(crate) fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| Sample::default().build())
}

/// A good plugin with another name of the same length.
pub(crate) fn named(name: &str) -> Vec<u8> {
    assert_eq!(name.len(), NAME.len(), "the name is patched in place");
    replaced(good(), NAME.as_bytes(), name.as_bytes())
}

/// `bytes` with the only place that holds `from` holding `to` instead.
pub(crate) fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|part| part == from)
        .unwrap();
    patched(bytes, at, to)
}

/// `bytes` with `to` at `at`.
pub(crate) fn patched(bytes: &[u8], at: usize, to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// The section of a good manifest.
pub(crate) fn manifest(name: &str) -> Vec<u8> {
    note(
        format!("name={name}\0version=1.2.3\0abi=0\0accepts=image/*\0summary=A sample\0")
            .as_bytes(),
    )
}

/// A section that holds `text`.
pub(crate) fn note(text: &[u8]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap().to_ne_bytes();
    [
        &word(9)[..],
        &word(text.len()),
        &word(1),
        b"Bulkhead\0\0\0\0",
        text,
    ]
    .concat()
}

/// What a root module of this abi_stable starts with.
pub(crate) fn header() -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..32].copy_from_slice(&AbiHeader::VALUE.magic_string);
    bytes[32..36].copy_from_slice(&AbiHeader::VALUE.abi_major.to_ne_bytes());
    bytes[36..].copy_from_slice(&AbiHeader::VALUE.abi_minor.to_ne_bytes());
    bytes
}

/// A folder that only its owner can write to.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file that is safe to load.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    chmod(&path, 0o644);
    path
}

/// Makes a sparse file of this size.
pub(crate) fn sparse(folder: &Path, name: &str, size: u64) -> PathBuf {
    let path = write(folder, name, b"");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(size)
        .unwrap();
    path
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs the C compiler for a shared library.
pub(crate) fn compile<S: AsRef<std::ffi::OsStr>>(arguments: &[S], flags: &[&str]) {
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-w"])
        .args(arguments)
        .args(flags)
        .output()
        .expect("tests need a C compiler named cc");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The names in `folder` that were opened meanwhile.
#[cfg(target_os = "linux")]
pub(crate) fn opened_during(folder: &Path, action: impl FnOnce()) -> BTreeSet<String> {
    use rustix::fs::inotify;

    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, folder, inotify::WatchFlags::OPEN).unwrap();
    action();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let mut names = BTreeSet::new();
    while let Ok(event) = events.next() {
        names.extend(
            event
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names
}

fn list(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte},")).collect()
}
