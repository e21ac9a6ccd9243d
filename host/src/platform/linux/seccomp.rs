//! Which system calls this process may make: seccomp(2), and the kernel's
//! `Documentation/userspace-api/seccomp_filter.rst`. What is refused stands in [`refused`]; here is
//! how it becomes a filter.
//!
//! A deny list and not an allow list: a plugin is anybody's code over anybody's C library, and the
//! files are Landlock's. Two filters, of which the kernel takes the stricter answer.

use std::error::Error;

use libc::{BPF_ABS, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter, sock_filter,
};

use crate::platform::Confinement;

mod refused;

/// The last number that the list of [`refused`] was read against: `listns` of Linux 6.19. Those
/// that come later are answered as on an older kernel, whatever they can do. From 424 on all
/// architectures share the numbers.
const LAST_KNOWN: u32 = 470;

/// x86_64 kernels may offer a second table, at numbers with this bit: `__X32_SYSCALL_BIT`.
const X32: u32 = 0x4000_0000;

/// Refuses what [`refused`] lists with EPERM, what a C library must believe absent with
/// ENOSYS, and what it can do without with ENOMEM.
pub(super) fn restrict(confinement: &Confinement, is_other_user: bool) -> Result<(), String> {
    let architecture: TargetArch = std::env::consts::ARCH
        .try_into()
        .map_err(|_| "no list of system calls for this architecture")?;
    apply_filter(&numbers()).map_err(|error| words(&error))?;
    apply_filter(&list(architecture, confinement, is_other_user).map_err(|error| words(&error))?)
        .map_err(|error| words(&error))
}

/// By number alone: what the crate's filters cannot say, because they compare numbers for equality
/// and have one answer.
///
/// `clone3` hides its flags in memory that a filter cannot read; glibc and Rust's std take `clone`
/// where it is absent.
///
/// `mremap` enlarges a mapping that grows down, as the stack of the first thread is, and
/// `RLIMIT_DATA` does not count those. A `realloc` that is told of no memory there copies.
fn numbers() -> BpfProgram {
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let no_memory = SeccompAction::Errno(libc::ENOMEM.unsigned_abs());
    let [clone3, mremap] = [libc::SYS_clone3, libc::SYS_mremap]
        .map(|it| u32::try_from(it).expect("numbers of system calls are small"));
    vec![
        // The number is the first field of `struct seccomp_data`.
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
        step(BPF_JMP | BPF_JSET | BPF_K, X32, 4, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, clone3, 4, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, mremap, 4, 0),
        step(BPF_JMP | BPF_JGT | BPF_K, LAST_KNOWN, 2, 0),
        step(BPF_RET | BPF_K, SeccompAction::Allow.into(), 0, 0),
        step(BPF_RET | BPF_K, refused.into(), 0, 0),
        step(BPF_RET | BPF_K, unknown.into(), 0, 0),
        step(BPF_RET | BPF_K, no_memory.into(), 0, 0),
    ]
}

/// One instruction: how many it skips if its comparison holds, and if not.
fn step(code: u32, k: u32, holds: u8, fails: u8) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).expect("the codes of classic BPF have 16 bits"),
        jt: holds,
        jf: fails,
        k,
    }
}

fn list(
    architecture: TargetArch,
    confinement: &Confinement,
    is_other_user: bool,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = refused::rules(confinement, is_other_user)?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)?.try_into()
}

/// The crate's own texts are sentences; the system's error is what helps.
fn words(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
