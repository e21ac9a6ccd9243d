//! What a library must be built for. Knows the machines by name and no file's bytes.

use std::fmt;
use std::sync::OnceLock;

use object::{Architecture, Endianness};

use super::glibc;
use crate::loader::rejection::Rejection;

/// A kind of library file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Linux and its relatives.
    Elf,
    /// macOS.
    MachO,
    /// Windows.
    Pe,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf => "an ELF file",
            Self::MachO => "a Mach-O file",
            Self::Pe => "a PE file",
        })
    }
}

/// What a library must be built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The kind of file.
    pub format: Format,
    /// The machine.
    pub architecture: Architecture,
    /// Whether addresses have 64 bits.
    pub is_64: bool,
    /// The order of bytes.
    pub endian: Endianness,
    /// The newest glibc that symbols may ask for; not looked at when unknown.
    pub glibc: Option<(u32, u32)>,
}

impl Platform {
    /// The system that this host runs on.
    pub fn host() -> &'static Self {
        static HOST: OnceLock<Platform> = OnceLock::new();
        HOST.get_or_init(|| Self {
            glibc: glibc::running(),
            ..Self::new(HOST_FORMAT, HOST_ARCHITECTURE)
        })
    }

    /// A system of this kind in its usual form: the host's width and order of bytes, any glibc.
    pub fn new(format: Format, architecture: Architecture) -> Self {
        Self {
            format,
            architecture,
            is_64: cfg!(target_pointer_width = "64"),
            endian: Endianness::default(),
            glibc: None,
        }
    }

    /// The rejection of a file that is `found` instead.
    pub(super) fn mismatch(&self, found: impl Into<String>) -> Rejection {
        Rejection::WrongPlatform {
            found: found.into(),
            expected: format!("shared libraries like this: {self}"),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = machine(self.architecture);
        write!(
            f,
            "{}, {}",
            self.format,
            built_for(self.is_64, self.endian, machine)
        )
    }
}

/// Words for what a file is built for.
pub(super) fn built_for(is_64: bool, endian: Endianness, machine: impl fmt::Display) -> String {
    let bits = if is_64 { "64-bit" } else { "32-bit" };
    let order = match endian {
        Endianness::Little => "little-endian",
        Endianness::Big => "big-endian",
    };
    format!("{bits} {order} for {machine}")
}

/// The machine's usual name.
pub(super) fn machine(architecture: Architecture) -> String {
    format!("{architecture:?}").to_lowercase()
}

const HOST_FORMAT: Format = if cfg!(windows) {
    Format::Pe
} else if cfg!(target_vendor = "apple") {
    Format::MachO
} else {
    Format::Elf
};

const HOST_ARCHITECTURE: Architecture = if cfg!(target_arch = "x86_64") {
    Architecture::X86_64
} else if cfg!(target_arch = "aarch64") {
    Architecture::Aarch64
} else if cfg!(target_arch = "x86") {
    Architecture::I386
} else if cfg!(target_arch = "arm") {
    Architecture::Arm
} else if cfg!(target_arch = "riscv64") {
    Architecture::Riscv64
} else if cfg!(target_arch = "powerpc64") {
    Architecture::PowerPc64
} else if cfg!(target_arch = "s390x") {
    Architecture::S390x
} else if cfg!(target_arch = "loongarch64") {
    Architecture::LoongArch64
} else {
    Architecture::Unknown
};
