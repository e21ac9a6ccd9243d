use object::Architecture;
use proptest::prelude::*;

use super::*;
use crate::loader::samples::{self, patched, replaced};

const ARM: u32 = 0x0100_000c;
const INTEL: u32 = 0x0100_0007;

#[test]
fn a_mach_o_file_is_wrong_here_and_read_where_it_belongs() {
    let library = mach_o(INTEL);
    if Platform::host().format != Format::MachO {
        assert_eq!(
            static_check(&library).unwrap_err().reason(),
            "wrong_platform"
        );
    }
    assert_eq!(
        static_check_for(&library, &mac()).unwrap().name.as_str(),
        samples::NAME
    );
}

#[test]
fn a_mach_o_file_is_refused_for_what_is_wrong() {
    let library = mach_o(INTEL);
    let check = |bytes: &[u8], reason, text| check(bytes, &mac(), reason, text);
    check(
        &mach_o(ARM),
        "wrong_platform",
        "64-bit little-endian for aarch64",
    );
    check(
        &patched(&library, 12, &[2]),
        "wrong_platform",
        "an executable",
    );
    check(&patched(&library, 0, &[0xce]), "wrong_platform", "32-bit");
    check(&patched(&library, 26, &[2]), "exec_stack", "asks for");
    check(
        &patched(&library, 32 + 32 + 4, &[1]),
        "too_large_mapping",
        "bytes of memory",
    );
    check(
        &patched(&library, 256, &[0x1c, 0, 0, 0x80]),
        "rpath",
        "LC_RPATH",
    );
    check(
        &replaced(&library, b"__bhmeta", b"__bhmetb"),
        "no_manifest",
        "",
    );
    check(
        &replaced(&library, b"__1as_", b"__1at_"),
        "manifest_invalid",
        "no root module",
    );
    check(
        &replaced(&library, &samples::header()[..32], &[b'?'; 32]),
        "abi_version",
        "`???",
    );
    check(
        &replaced(&library, b"abi=0", b"abi=9"),
        "abi_version",
        "revision 9",
    );
}

#[test]
fn a_universal_file_is_judged_by_its_part_for_this_machine() {
    let both = universal(&[(ARM, mach_o(ARM)), (INTEL, mach_o(INTEL))]);
    static_check_for(&both, &mac()).unwrap();
    let other = universal(&[(ARM, mach_o(ARM))]);
    check(
        &other,
        &mac(),
        "wrong_platform",
        "without a part for this machine",
    );
}

#[test]
fn a_pe_file_is_wrong_here_and_read_where_it_belongs() {
    let library = pe();
    if Platform::host().format != Format::Pe {
        assert_eq!(
            static_check(&library).unwrap_err().reason(),
            "wrong_platform"
        );
    }
    assert_eq!(
        static_check_for(&library, &windows())
            .unwrap()
            .name
            .as_str(),
        samples::NAME
    );
}

#[test]
fn a_pe_file_is_refused_for_what_is_wrong() {
    let library = pe();
    let check = |bytes: &[u8], reason, text| check(bytes, &windows(), reason, text);
    check(
        &patched(&library, 68, &[0x64, 0xaa]),
        "wrong_platform",
        "aarch64",
    );
    check(
        &patched(&library, 86, &[0x22, 0]),
        "wrong_platform",
        "an executable",
    );
    check(&patched(&library, 64, b"NE"), "not_a_library", "DOS");
    check(
        &patched(&library, 88 + 56, &[0xff; 4]),
        "too_large_mapping",
        "4294967295",
    );
    check(
        &replaced(&library, b".bhmeta", b".bhmetb"),
        "no_manifest",
        "",
    );
    check(
        &replaced(&library, b"_1as_", b"_1at_"),
        "manifest_invalid",
        "no root module",
    );
    check(
        &replaced(&library, &samples::header()[..32], &[b'?'; 32]),
        "abi_version",
        "`???",
    );
}

#[test]
fn fd_05_every_prefix_of_a_foreign_library_is_refused() {
    let both = universal(&[(INTEL, mach_o(INTEL)), (ARM, mach_o(ARM))]);
    for (library, platform) in [(mach_o(INTEL), mac()), (both, mac()), (pe(), windows())] {
        for len in 0..library.len() {
            let rejection = static_check_for(&library[..len], &platform).unwrap_err();
            let short = len < 8 && rejection.reason() == "not_a_library";
            assert!(
                short || rejection.reason() == "truncated",
                "{len}: {rejection}"
            );
        }
    }
}

proptest! {
    #[test]
    fn ld_15_no_mutation_of_a_foreign_library_panics(mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16)) {
        let both = universal(&[(INTEL, mach_o(INTEL)), (ARM, mach_o(ARM))]);
        for (mut bytes, platform) in [(mach_o(INTEL), mac()), (both, mac()), (pe(), windows())] {
            for (at, byte) in &mutations {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let _ = static_check_for(&bytes, &platform);
        }
    }
}

fn check(bytes: &[u8], platform: &Platform, reason: &str, text: &str) {
    let rejection = static_check_for(bytes, platform).unwrap_err();
    assert_eq!(rejection.reason(), reason, "{rejection}");
    assert!(
        rejection.to_string().contains(text),
        "{rejection}\nshould say: {text}"
    );
}

fn mac() -> Platform {
    Platform::new(Format::MachO, Architecture::X86_64)
}

fn windows() -> Platform {
    Platform::new(Format::Pe, Architecture::X86_64)
}

/// One data segment (root module, manifest), one for the linker, a table of one symbol.
fn mach_o(cpu: u32) -> Vec<u8> {
    let (header, manifest) = (samples::header(), samples::manifest(samples::NAME));
    let strings = format!("\0_{}\0", abi_header::SYMBOL);
    let (data_at, data) = (280, 40 + manifest.len());
    let (link_at, link) = (data_at + data, 16 + strings.len());
    let mut file = Bytes::default();
    file.u32(&[0xfeed_facf, cpu as usize, 3, 6, 3, 248, 0, 0]);
    file.u32(&[0x19, 152])
        .name(16, "__DATA")
        .u64(&[0x4000, 0x1000, data_at, data]);
    file.u32(&[3, 3, 1, 0])
        .name(16, "__bhmeta")
        .name(16, "__DATA");
    file.u64(&[0x4028, manifest.len()])
        .u32(&[data_at + 40, 2, 0, 0, 0, 0, 0, 0]);
    file.u32(&[0x19, 72])
        .name(16, "__LINKEDIT")
        .u64(&[0x8000, 0x1000, link_at, link]);
    file.u32(&[1, 1, 0, 0]);
    file.u32(&[2, 24, link_at, 1, link_at + 16, strings.len()]);
    file.raw(&header).raw(&manifest);
    file.u32(&[1])
        .raw(&[0x0f, 1, 0, 0])
        .u64(&[0x4000])
        .raw(strings.as_bytes());
    file.0
}

fn universal(parts: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let big = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let mut file = [big(0xcafe_babe), big(parts.len())].concat();
    let mut at = 8 + 20 * parts.len();
    for (cpu, part) in parts {
        file.extend([*cpu as usize, 3, at, part.len(), 0].map(big).concat());
        at += part.len();
    }
    parts.iter().for_each(|(_, part)| file.extend(part));
    file
}

/// A section with the exports and the root module, and one with the manifest.
fn pe() -> Vec<u8> {
    let manifest = samples::manifest(samples::NAME);
    let name = format!("{}\0", abi_header::SYMBOL);
    let (exports, first) = (50 + name.len(), 50 + name.len() + 40);
    let start = 64 + 24 + 240 + 80;
    let mut file = Bytes::default();
    file.name(60, "MZ").u32(&[64]);
    file.name(4, "PE")
        .u16(&[0x8664, 2])
        .u32(&[0, 0, 0])
        .u16(&[240, 0x2022]);
    file.u16(&[0x20b, 0])
        .u32(&[0, 0, 0, 0, 0])
        .u64(&[0x1_8000_0000])
        .u32(&[0x1000, 0x200]);
    file.u32(&[0, 0, 0, 0, 0x3000, start, 0])
        .u16(&[2, 0x160])
        .u64(&[0, 0, 0, 0])
        .u32(&[0, 16]);
    file.u32(&[0x1000, exports]).raw(&[0; 15 * 8]);
    let section = |file: &mut Bytes, name, address, size, at| {
        file.name(8, name)
            .u32(&[size, address, size, at, 0, 0, 0, 0x4000_0040]);
    };
    section(&mut file, ".rdata", 0x1000, first, start);
    section(&mut file, ".bhmeta", 0x2000, manifest.len(), start + first);
    file.u32(&[0, 0, 0, 0, 1, 1, 1, 0x1028, 0x102c, 0x1030]);
    file.u32(&[0x1000 + exports, 0x1032])
        .u16(&[0])
        .raw(name.as_bytes());
    file.raw(&samples::header()).raw(&manifest);
    file.0
}

/// Little-endian bytes, one after the other.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    fn name(&mut self, width: usize, name: &str) -> &mut Self {
        let padding = vec![0; width - name.len()];
        self.raw(name.as_bytes()).raw(&padding)
    }

    fn u16(&mut self, numbers: &[u16]) -> &mut Self {
        numbers
            .iter()
            .for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }

    fn u32(&mut self, numbers: &[usize]) -> &mut Self {
        let words = numbers.iter().map(|number| u32::try_from(*number).unwrap());
        words.for_each(|word| self.0.extend(word.to_le_bytes()));
        self
    }

    fn u64(&mut self, numbers: &[usize]) -> &mut Self {
        numbers
            .iter()
            .for_each(|number| self.0.extend((*number as u64).to_le_bytes()));
        self
    }
}
