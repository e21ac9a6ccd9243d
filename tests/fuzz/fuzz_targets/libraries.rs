//! Any bytes as a library, for every system: a manifest or a reason. Half of what is tried is a library
//! with wrong numbers in its tables.

#![no_main]

use std::sync::LazyLock;

use bulkhead::loader::{Format, Manifest, Platform, Rejection, static_check, static_check_for};
use bulkhead_tests::mutations::{Random, mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use object::{Architecture, Endianness};

/// How many numbers are wrong, at most.
const MAX_WRONG: usize = 4;

static PLATFORMS: LazyLock<Vec<Platform>> = LazyLock::new(|| {
    let new = Platform::new;
    vec![
        Platform {
            glibc: Some((2, 36)),
            ..new(Format::Elf, Architecture::X86_64)
        },
        Platform {
            is_64: false,
            ..new(Format::Elf, Architecture::I386)
        },
        Platform {
            endian: Endianness::Big,
            ..new(Format::Elf, Architecture::S390x)
        },
        new(Format::MachO, Architecture::X86_64),
        new(Format::Pe, Architecture::X86_64),
    ]
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    if random.below(2) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    for _ in 0..=random.below(MAX_WRONG) {
        mutate(&mut data[..size], &mut random);
    }
    size
});

fuzz_target!(|bytes: &[u8]| {
    judge(static_check(bytes));
    for platform in PLATFORMS.iter() {
        judge(static_check_for(bytes, platform));
    }
    // The section alone, which a fuzzer seldom finds a way to.
    for endian in [Endianness::Little, Endianness::Big] {
        judge(Manifest::parse(bytes, endian).map_err(Rejection::from));
    }
});

fn judge(verdict: Result<Manifest, Rejection>) {
    match verdict {
        Ok(manifest) => {
            assert!(manifest.summary.len() <= 1024);
            assert!(!manifest.summary.contains(char::is_control));
        }
        Err(rejection) => {
            let text = rejection.explain();
            assert!(text.len() < 4096, "{text}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
}
