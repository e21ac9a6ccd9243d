//! Small libraries that the C compiler makes: plugins for whoever only reads them, and files that
//! are no plugin or cannot be loaded.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// What a root module of abi_stable 0.11 starts with.
const HEADER: &[u8; 40] = b"abi stable library for Rust     \0\0\0\0\x0b\0\0\0";

/// A library to build; [`plugin`] is a good one to begin with.
pub struct Library<'a> {
    /// The contents of the note's section, if there is to be one.
    pub note: Option<Vec<u8>>,
    /// Whether it exports what a root module starts with: enough to be read, not to be called.
    pub header: bool,
    /// More C.
    pub code: &'a str,
    /// More for the compiler.
    pub flags: &'a [&'a str],
}

/// A library that reads as the plugin `name`.
pub fn plugin(name: &str) -> Library<'static> {
    let fields = format!("name={name}\0version=1.2.3\0abi=0\0accepts=image/*\0summary=Made of C\0");
    Library {
        note: Some(note(fields.as_bytes())),
        header: true,
        code: "",
        flags: &[],
    }
}

/// The bytes of a library that reads as the plugin `name`, and has garbage where its functions should
/// be.
pub fn garbage(name: &str) -> Vec<u8> {
    let header = list(HEADER);
    let garbage = list(&[0x41; 4096]);
    let symbol = "_1as_0lib_1header_0root_bmodule_bloader";
    let code = format!(
        "__attribute__((aligned(16))) const unsigned char {symbol}[] = {{ {header} {garbage} }};"
    );
    let library = Library {
        header: false,
        code: &code,
        ..plugin(name)
    };
    library.build()
}

/// A library that is no plugin.
pub fn library() -> Library<'static> {
    Library {
        note: None,
        header: false,
        code: "int answer(void) { return 42; }",
        flags: &[],
    }
}

/// A note's section that holds `fields`.
pub fn note(fields: &[u8]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap().to_ne_bytes();
    let sizes = [word(9), word(fields.len()), word(1)].concat();
    [&sizes[..], b"Bulkhead\0\0\0\0", fields].concat()
}

impl Library<'_> {
    /// The bytes of the library.
    pub fn build(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("it.c"), folder.path().join("it.so"));
        fs::write(&source, self.source()).unwrap();
        let arguments = [source.as_os_str(), OsStr::new("-o"), library.as_os_str()];
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-w"])
            .args(arguments)
            .args(self.flags)
            .output()
            .expect("tests need a C compiler named cc");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        fs::read(library).unwrap()
    }

    fn source(&self) -> String {
        let place = r#"__attribute__((section(".note.bulkhead"), used, aligned(4)))"#;
        let note = self.note.as_ref().map(|note| {
            let list = list(note);
            format!("static const unsigned char note[] {place} = {{ {list} }};\n")
        });
        let header = self.header.then(|| {
            let list = list(HEADER);
            let symbol = "_1as_0lib_1header_0root_bmodule_bloader";
            format!("const unsigned char {symbol}[48] = {{ {list} }};\n")
        });
        let parts = [note, header, Some(self.code.to_owned())];
        parts.into_iter().flatten().collect()
    }
}

fn list(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte},")).collect()
}
