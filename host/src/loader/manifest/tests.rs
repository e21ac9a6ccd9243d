use proptest::prelude::*;

use super::*;
use crate::loader::Rejection;

const GOOD: &str = "name=brightness\0version=1.2.3\0abi=0\0thread_safe=true\0accepts=image/*\0accepts=text/plain\0summary=Mean brightness\0";

#[test]
fn a_good_manifest_is_read() {
    for endian in [Endianness::Little, Endianness::Big] {
        let manifest = Manifest::parse(&section(GOOD.as_bytes(), endian), endian).unwrap();
        assert_eq!(manifest.name.as_str(), "brightness");
        assert_eq!(manifest.version, Version::new(1, 2, 3));
        assert_eq!((manifest.abi, manifest.thread_safe), (0, true));
        assert_eq!(manifest.accepts.patterns(), ["image/*", "text/plain"]);
        assert_eq!(manifest.summary, "Mean brightness");
    }
}

#[test]
fn what_may_be_left_out_has_a_default() {
    let text = "later=unknown\0accepts=*/*\0abi=0\0version=0.1.0-rc.1\0name=p\0";
    let manifest = parse(text.as_bytes()).unwrap();
    assert_eq!(
        (manifest.thread_safe, manifest.summary.as_str()),
        (false, "")
    );
}

#[test]
fn ab_07_a_bad_manifest_names_the_field_and_what_was_found() {
    let long = format!("summary={}\0", "x".repeat(1025));
    for (from, to, expected) in [
        ("name=brightness\0", "", "has no field `name`"),
        ("version=1.2.3\0", "", "has no field `version`"),
        ("abi=0\0", "", "has no field `abi`"),
        (
            "accepts=image/*\0accepts=text/plain\0",
            "",
            "has no field `accepts`",
        ),
        (
            "abi=0\0",
            "abi=0\0name=other\0",
            "field `name` twice, the second time as `other`",
        ),
        ("abi=0\0", "abi=0\0abi=0\0", "field `abi` twice"),
        (
            "brightness\0",
            "../x\0",
            "field `name` is `../x`, and should be 1 to 64",
        ),
        ("brightness\0", "\0", "field `name` is ``"),
        (
            "1.2.3\0",
            "1.2\0",
            "field `version` is `1.2`, and should be a semantic version",
        ),
        (
            "abi=0\0",
            "abi=zero\0",
            "field `abi` is `zero`, and should be a whole number",
        ),
        ("abi=0\0", "abi=4294967296\0", "field `abi` is `4294967296`"),
        ("true\0", "yes\0", "field `thread_safe` is `yes`"),
        ("image/*\0", "Image/*\0", "accepts `Image/*`, where"),
        ("Mean b", "Mean\nb", "field `summary` is `Mean\\nb"),
        (
            "Mean b",
            "Mean\x1b[31mb",
            "field `summary` is `Mean\\x1b[31mb",
        ),
        (
            "summary=Mean brightness\0",
            &long,
            "field `summary` is `xxx",
        ),
        (
            "abi=0\0",
            "abi=0\0nonsense\0",
            "field `nonsense` without a `=`",
        ),
        ("abi=0\0", "abi=0\0\0", "field `` without a `=`"),
        (
            "Mean brightness\0",
            "Mean brightness",
            "last field `summary=Mean brightness` does not end in a NUL",
        ),
    ] {
        check(
            &section(GOOD.replacen(from, to, 1).as_bytes(), Endianness::Little),
            expected,
        );
    }
}

#[test]
fn ab_07_a_bad_frame_says_what_is_wrong() {
    let good = section(GOOD.as_bytes(), Endianness::Little);
    let patched = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    check(b"", "starts with ``");
    check(&good[..20], "is no note of type 1 named `Bulkhead`");
    check(&patched(0, 8), "is no note of type 1 named `Bulkhead`");
    check(&patched(8, 2), "is no note of type 1 named `Bulkhead`");
    check(&patched(12, b'b'), "is no note of type 1 named `Bulkhead`");
    check(&good[..good.len() - 1], "says that it has");
    check(&patched(7, 0xff), "says that it has");
    check(&[&good[..], &good].concat(), "more than one manifest");
    check(
        &[&good[..], &vec![0; 65 << 10]].concat(),
        "and may have 65536",
    );
    check(
        &section(
            &[GOOD.as_bytes(), b"summary=\xff\0"].concat(),
            Endianness::Little,
        ),
        "field `summary` is not UTF-8 but `summary=\\xff`",
    );
    check(&section(b"", Endianness::Little), "has no field `abi`");
}

#[test]
fn another_revision_is_told_before_other_fields() {
    let error = parse(b"abi=7\0name=NEW RULES\0").unwrap_err();
    let rejection = Rejection::from(error);
    assert_eq!(rejection.reason(), "abi_version");
    assert!(
        rejection.explain().contains("ABI revision 7"),
        "{rejection}"
    );
}

#[test]
fn the_name_is_found_in_a_file_that_was_cut() {
    let file = [&[7; 99][..], &section(GOOD.as_bytes(), Endianness::Little)].concat();
    assert_eq!(find_name(&file[..160]).unwrap().as_str(), "brightness");
    assert_eq!(find_name(&file[..134]), None, "the name itself is cut");
    assert_eq!(find_name(&[]), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text: Vec<u8>) {
        let _ = Manifest::parse(&bytes, Endianness::Little);
        let _ = parse(&text);
        let _ = find_name(&section(&text, Endianness::Little));
    }
}

fn check(section: &[u8], expected: &str) {
    let rejection = Rejection::from(Manifest::parse(section, Endianness::Little).unwrap_err());
    assert_eq!(rejection.reason(), "manifest_invalid");
    assert!(
        rejection.to_string().contains(expected),
        "{rejection}\nshould say: {expected}"
    );
}

fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
    Manifest::parse(&section(text, Endianness::Little), Endianness::Little)
}

fn section(text: &[u8], endian: Endianness) -> Vec<u8> {
    use object::Endian;
    let size = u32::try_from(text.len()).unwrap();
    let word = |word| endian.write_u32(word);
    [
        &word(9)[..],
        &word(size),
        &word(1),
        b"Bulkhead\0\0\0\0",
        text,
    ]
    .concat()
}
