//! Addresses of this very program, named from its file.

use super::*;

#[test]
fn a_path_tells_nothing_of_the_machine() {
    let registry = "/home/ann/.cargo/registry/src/index-1949/png-0.18.0/src/decoder.rs";
    assert_eq!(tidy_path(registry), "png-0.18.0/src/decoder.rs");
    assert_eq!(
        tidy_path("/home/ann/palette/src/lib.rs:3:4"),
        "palette/src/lib.rs:3:4"
    );
    assert_eq!(tidy_path("plugins/qr/src/lib.rs"), "plugins/qr/src/lib.rs");
    assert_eq!(
        tidy_path("/rustc/abc/library/core/src/option.rs"),
        "core/src/option.rs"
    );
    assert_eq!(tidy_path("/odd"), "odd");
}

#[test]
fn an_unreadable_file_leaves_the_addresses() {
    assert_eq!(symbolize(Path::new("/nowhere"), Some(0), &[16]), "0x10");
}
#[test]
fn an_unreadable_file_leaves_the_addresses_of_a_crash() {
    let named = name_crash(Path::new("/nowhere"), Some(0), 16, &[16, 32]);
    let text = "0x10\n0x20".to_owned();
    let function = None;
    assert_eq!(named, Named { function, text });
}

#[cfg(target_os = "linux")]
mod of_this_program {
    use std::path::PathBuf;

    use super::*;

    /// The file of this program, and where it is mapped.
    fn program() -> (PathBuf, Option<u64>) {
        let path = std::env::current_exe().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let first = maps
            .lines()
            .find(|line| line.ends_with(path.to_str().unwrap()));
        let base = first.unwrap().split('-').next().unwrap();
        let base = u64::from_str_radix(base, 16).unwrap();
        (path, Some(base))
    }

    #[inline(never)]
    fn ancestor() -> Vec<u64> {
        let mut addresses = Vec::new();
        backtrace::trace(|frame| {
            addresses.push(frame.ip() as u64);
            true
        });
        std::hint::black_box(addresses)
    }

    #[inline(never)]
    fn victim() {
        std::hint::black_box(());
    }

    fn name(ip: u64, backtrace: &[u64]) -> Named {
        let (path, base) = program();
        name_crash(&path, base, ip, backtrace)
    }

    #[test]
    fn the_instruction_is_exact_and_its_callers_are_not() {
        // The first byte of a function: one before it is another.
        let ip = victim as fn() as usize as u64;
        let mut backtrace = ancestor();
        backtrace.insert(0, ip);
        let named = name(ip, &backtrace);
        assert!(named.function.unwrap().ends_with("::victim"));
        let first = named.text.lines().next().unwrap();
        assert!(first.starts_with("0: bulkhead::loader::"), "{first}");
        assert!(first.contains("symbolize/tests.rs:"), "{first}");
        assert!(named.text.contains("::ancestor at "), "{}", named.text);
    }

    #[test]
    fn a_place_outside_is_told_by_who_called_it() {
        let getpid = libc::getpid as *const () as u64;
        let backtrace = ancestor();
        let named = name(getpid, &[&[getpid], &backtrace[..]].concat());
        let mut lines = named.text.lines();
        let first = format!(
            "in code outside the plugin, called from {}",
            named.function.unwrap()
        );
        assert_eq!(lines.next(), Some(&*first));
        assert!(lines.next().unwrap().starts_with("0: "));
        let nobody = name(getpid, &[getpid, 0, u64::MAX, getpid]);
        assert_eq!(nobody.function, None);
        assert_eq!(nobody.text, "in code outside the plugin");
    }
}

#[test]
fn what_ends_a_process_is_not_what_an_author_looks_for() {
    let frames = |names: &[&str]| -> Vec<Frame> {
        let frame = |name: &&str| Frame::new((*name).to_owned(), None);
        names.iter().map(frame).collect()
    };
    let check = |names, expected| assert_eq!(end_of_panic(&frames(names)), expected, "{names:?}");
    check(&["std::process::abort", "mine::run"], 0);
    check(
        &[
            "std::panicking::begin_panic_handler",
            "core::panicking::panic_fmt",
            "core::panicking::panic",
            "mine::run",
        ],
        2,
    );
    // A fault in code that runs because of a panic.
    check(
        &[
            "<mine::Guard as core::ops::Drop>::drop",
            "core::panicking::panic_fmt",
        ],
        0,
    );
    assert!(frames(&["<core::option::Option<T> as std::ops::Try>::branch"])[0].is_runtime);
    assert!(!frames(&["<mine::Guard as core::ops::Drop>::drop"])[0].is_runtime);
    // What of the standard library is inlined does not make a function its own.
    let shipped = "/rustc/5980/library/core/src/ptr/mod.rs";
    assert!(!Frame::new("mine::read".to_owned(), Some((shipped, 1))).is_runtime);
}

#[cfg(target_os = "linux")]
mod of_a_hostile_file {
    use std::process::Command;

    use super::*;

    /// The crafted library, and the offset of its function.
    fn nested(folder: &Path) -> (std::path::PathBuf, u64) {
        use object::{Object, ObjectSymbol};

        let library = folder.join("libnested.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/loader/symbolize/nested.s");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-nostdlib", "-o"]).arg(&library);
        assert!(compiler.arg(source).status().unwrap().success());
        let bytes = std::fs::read(&library).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let outer = file.symbol_by_name("outer").unwrap().address();
        (library, outer)
    }

    #[test]
    fn functions_that_nest_without_end_are_not_walked() {
        let folder = tempfile::tempdir().unwrap();
        let (library, outer) = nested(folder.path());
        let base = 0x7000_0000_0000;
        let named = name_crash(&library, Some(base), base + outer, &[base + outer + 2]);
        let text = "0: outer at src/lib.rs:7\n1: outer at src/lib.rs:8";
        assert_eq!(named.text, text);
        assert_eq!(named.function.as_deref(), Some("outer"));
    }

    #[test]
    fn a_backtrace_is_named_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let (library, outer) = nested(folder.path());
        let addresses: Vec<u64> = std::iter::repeat_n(outer + 1, 10_000).collect();
        assert_eq!(symbolize(&library, Some(0), &addresses).lines().count(), 64);
    }
}
