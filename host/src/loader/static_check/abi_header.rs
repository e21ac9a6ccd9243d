//! The first 40 bytes that an exported root module points to: which abi_stable made it. Runs nothing.

use abi_stable::library::AbiHeader;
use object::{Endian, Endianness};

use crate::loader::manifest::ManifestError;
use crate::loader::rejection::{Rejection, excerpt};

/// The symbol that `export_plugin!` exports.
pub(super) const SYMBOL: &str = "_1as_0lib_1header_0root_bmodule_bloader";

/// Judges the bytes at the symbol; `None` is a symbol without bytes in the file.
pub(super) fn check(bytes: Option<&[u8]>, endian: Endianness) -> Result<(), Rejection> {
    let found = bytes
        .and_then(|bytes| read(bytes, endian))
        .ok_or_else(|| version("a header without contents".to_owned()))?;
    if found.is_compatible(&AbiHeader::VALUE) {
        Ok(())
    } else {
        Err(version(describe(&found)))
    }
}

/// The rejection of a file that has a manifest and no such symbol.
pub(super) fn missing() -> Rejection {
    ManifestError::NoRootModule { symbol: SYMBOL }.into()
}

fn read(bytes: &[u8], endian: Endianness) -> Option<AbiHeader> {
    let (magic, rest) = bytes.split_first_chunk::<32>()?;
    let (major, rest) = rest.split_first_chunk()?;
    let mut header = AbiHeader::VALUE;
    header.magic_string = *magic;
    header.abi_major = endian.read_u32(*major);
    header.abi_minor = endian.read_u32(*rest.first_chunk()?);
    Some(header)
}

fn version(found: String) -> Rejection {
    Rejection::AbiVersion {
        found,
        expected: describe(&AbiHeader::VALUE),
    }
}

fn describe(header: &AbiHeader) -> String {
    if header.magic_string == AbiHeader::VALUE.magic_string {
        format!("abi_stable {}.{}", header.abi_major, header.abi_minor)
    } else {
        let start = header.magic_string.split(|&byte| byte == 0).next();
        format!(
            "something that calls itself `{}`",
            excerpt(start.unwrap_or_default())
        )
    }
}
