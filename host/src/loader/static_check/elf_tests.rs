use std::fs;

use object::{Architecture, elf};
use proptest::prelude::*;

use super::*;
use crate::loader::samples::{self, Sample, good, patched, replaced};

#[test]
fn a_good_library_gives_its_manifest() {
    let manifest = static_check(good()).unwrap();
    assert_eq!(manifest.name.as_str(), samples::NAME);
    assert_eq!(manifest.summary, "A sample");
    let stripped = Sample {
        flags: &["-s"],
        ..Sample::default()
    };
    assert_eq!(static_check(&stripped.build()).unwrap(), manifest);
}

#[test]
fn fd_05_every_prefix_of_a_good_library_is_refused() {
    let stripped = Sample {
        flags: &["-s", "-Wl,--build-id=none"],
        ..Sample::default()
    }
    .build();
    for library in [good(), &stripped] {
        for len in 0..library.len() {
            let rejection = static_check(&library[..len]).unwrap_err();
            assert_eq!(
                rejection.reason(),
                "truncated",
                "{len} of {} bytes: {rejection}",
                library.len()
            );
        }
    }
}

#[test]
fn segments_decide_where_sections_were_stripped() {
    let headless = patched(&patched(good(), 40, &[0; 8]), 60, &[0; 4]);
    check(&headless, "no_manifest", "without a plugin's manifest");
    check(&headless[..0x1000], "truncated", "segment");
}

#[test]
fn fd_05_a_range_outside_the_file_is_named() {
    let load = segment(good(), elf::PT_LOAD.0);
    check(
        &patched(good(), load + 32, &[0xff; 8]),
        "truncated",
        "but its segment",
    );
    check(
        &patched(good(), 40, &[0xff; 8]),
        "truncated",
        "but its table of sections ends at byte 18446744073709551615",
    );
    let table = usize::from_ne_bytes(good()[40..48].try_into().unwrap());
    let outside = patched(good(), table + 64 + 24, &(1_u64 << 40).to_ne_bytes());
    check(
        &outside,
        "truncated",
        "but its section 1 ends at byte 1099511",
    );
}

#[test]
fn what_is_no_library_is_told_what_it_is() {
    check(b"", "truncated", "ends at byte 0");
    check(
        b"#!/bin/sh\nexit 1\n",
        "not_a_library",
        "text that starts with `#!/bin/sh\\nexit 1\\n`",
    );
    check(&[0xde; 99], "not_a_library", "data that starts with `\\xde");
    check(
        &[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 65],
        "not_a_library",
        "data",
    );
}

#[test]
fn ld_05_a_newer_glibc_is_refused() {
    let folder = samples::folder();
    let script = samples::write(folder.path(), "map", b"GLIBC_9.99 { global: future; };");
    let source = samples::write(folder.path(), "libc.c", b"void future(void) {}");
    let libc = folder.path().join("libc.so.6");
    let script = format!("-Wl,--version-script={}", script.display());
    let flags = ["-nostdlib", "-Wl,-soname,libc.so.6", &script];
    samples::compile(
        &[source.as_os_str(), "-o".as_ref(), libc.as_os_str()],
        &flags,
    );
    let library = Sample {
        code: "void future(void); void now(void) { future(); }",
        flags: &["-nostdlib", libc.to_str().unwrap()],
        ..Sample::default()
    };
    let bytes = library.build();
    check(
        &bytes,
        "needs_newer_glibc",
        "needs glibc 9.99 and this system has 2.",
    );
    let unknown = Platform {
        glibc: None,
        ..Platform::host().clone()
    };
    static_check_for(&bytes, &unknown).unwrap();
}

#[test]
fn ld_06_another_platform_is_refused() {
    let wrong =
        |at: usize, to: &[u8], text: &str| check(&patched(good(), at, to), "wrong_platform", text);
    wrong(4, &[1], "32-bit");
    wrong(5, &[2], "big-endian");
    wrong(
        18,
        &elf::EM_RISCV.0.to_ne_bytes(),
        "riscv64 and this host loads",
    );
    wrong(18, &[99, 0], "machine 99");
    wrong(16, &elf::ET_EXEC.0.to_ne_bytes(), "it is an executable");
    wrong(16, &elf::ET_REL.0.to_ne_bytes(), "object file");
    wrong(16, &elf::ET_CORE.0.to_ne_bytes(), "core dump");
    check(&patched(good(), 4, &[7]), "not_a_library", "class 7");
    check(
        &fs::read("/bin/true").unwrap(),
        "wrong_platform",
        "a position-independent executable",
    );
}

#[test]
fn ld_06_each_mark_of_an_executable_counts() {
    let relro = segment(good(), elf::PT_GNU_RELRO.0);
    check(
        &patched(good(), relro, &elf::PT_INTERP.0.to_ne_bytes()),
        "wrong_platform",
        "position-independent",
    );
    let marked = Sample {
        flags: &["-Wl,-z,now"],
        ..Sample::default()
    }
    .build();
    let now = [elf::DT_FLAGS_1.0.to_ne_bytes(), 1_i64.to_ne_bytes()].concat();
    let pie = [
        elf::DT_FLAGS_1.0.to_ne_bytes(),
        0x0800_0001_i64.to_ne_bytes(),
    ]
    .concat();
    check(
        &replaced(&marked, &now, &pie),
        "wrong_platform",
        "position-independent",
    );
}

#[test]
fn ld_07_an_executable_stack_is_refused() {
    let library = Sample {
        flags: &["-z", "execstack"],
        ..Sample::default()
    }
    .build();
    check(&library, "exec_stack", "asks for an executable stack");
    let stack = segment(good(), elf::PT_GNU_STACK.0);
    let silent = patched(good(), stack, &[0; 4]);
    let platform = |architecture| Platform {
        architecture,
        ..Platform::host().clone()
    };
    let rejection = static_check_for(&silent, &platform(Architecture::X86_64));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(rejection.unwrap_err().reason(), "exec_stack");
    }
}

#[test]
fn ld_11_a_search_path_is_refused() {
    for (flag, text) in [
        ("-Wl,--disable-new-dtags", "carries the RPATH `/tmp/a\\\"b`"),
        (
            "-Wl,--enable-new-dtags",
            "carries the RUNPATH `/tmp/a\\\"b`",
        ),
    ] {
        let library = Sample {
            flags: &["-Wl,-rpath,/tmp/a\"b", flag],
            ..Sample::default()
        };
        check(&library.build(), "rpath", text);
    }
    let own = Sample {
        flags: &["-Wl,-rpath,$ORIGIN"],
        ..Sample::default()
    };
    check(&own.build(), "rpath", "$ORIGIN");
}

#[test]
fn ld_12_a_huge_mapping_is_refused() {
    let load = segment(good(), elf::PT_LOAD.0);
    let huge = (1_u64 << 40).to_ne_bytes();
    check(
        &patched(good(), load + 40, &huge),
        "too_large_mapping",
        "a plugin may have 1073741824",
    );
    check(
        &patched(good(), load + 40, &[0xff; 8]),
        "too_large_mapping",
        "18446744073709551615",
    );
    check(
        &patched(good(), load + 16, &huge),
        "too_large_mapping",
        "bytes of memory",
    );
}

#[test]
fn ab_01_a_library_that_is_no_plugin_is_refused() {
    let library = Sample {
        manifest: None,
        header: None,
        ..Sample::default()
    };
    check(&library.build(), "no_manifest", "a good library without");
}

#[test]
fn ab_02_another_abi_stable_is_refused() {
    let with = |at: usize, byte: u8| {
        let mut header = samples::header();
        header[at] = byte;
        Sample {
            header: Some(header),
            ..Sample::default()
        }
        .build()
    };
    check(
        &with(36, 10),
        "abi_version",
        "built for abi_stable 0.10 and this host takes abi_stable 0.11",
    );
    check(&with(32, 1), "abi_version", "abi_stable 1.11");
    check(&with(0, b'?'), "abi_version", "calls itself `?");
    let bss = Sample {
        header: None,
        code: "unsigned char _1as_0lib_1header_0root_bmodule_bloader[40];",
        ..Sample::default()
    };
    check(&bss.build(), "abi_version", "without contents");
}

#[test]
fn ab_07_a_bad_manifest_in_a_file_is_refused() {
    let with = |manifest: Vec<u8>| {
        Sample {
            manifest: Some(manifest),
            ..Sample::default()
        }
        .build()
    };
    check(
        &with(samples::manifest("../x")),
        "manifest_invalid",
        "field `name` is `../x`",
    );
    check(&with(vec![0; 66_000]), "manifest_invalid", "66000 bytes");
    check(
        &with(samples::note(b"abi=3\0")),
        "abi_version",
        "ABI revision 3",
    );
    let twice = [samples::manifest("a"), samples::manifest("b")].concat();
    check(&with(twice), "manifest_invalid", "more than one manifest");
    let unexported = Sample {
        header: None,
        ..Sample::default()
    };
    check(
        &unexported.build(),
        "manifest_invalid",
        "exports no root module",
    );
    let imported = Sample {
        header: None,
        code: "extern char _1as_0lib_1header_0root_bmodule_bloader[]; void *it(void) { return _1as_0lib_1header_0root_bmodule_bloader; }",
        ..Sample::default()
    };
    check(
        &imported.build(),
        "manifest_invalid",
        "exports no root module",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn ld_15_no_mutation_panics(mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16)) {
        let mut bytes = good().to_vec();
        for (at, byte) in mutations {
            // Every other one hits the headers, where a byte matters most.
            let len = if byte % 2 == 0 { 0x400 } else { bytes.len() };
            let at = at.index(len);
            bytes[at] = byte;
        }
        let _ = static_check(&bytes);
    }
}

fn check(bytes: &[u8], reason: &str, text: &str) {
    let rejection = static_check(bytes).unwrap_err();
    assert_eq!(rejection.reason(), reason, "{rejection}");
    assert!(
        rejection.to_string().contains(text),
        "{rejection}\nshould say: {text}"
    );
}

/// Where the first header of this kind of segment stands in a 64-bit file.
fn segment(bytes: &[u8], kind: u32) -> usize {
    (64..)
        .step_by(56)
        .find(|&at| bytes[at..at + 4] == kind.to_ne_bytes())
        .unwrap()
}
