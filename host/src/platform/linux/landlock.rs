//! What files this process may reach: landlock(7) and the kernel's
//! `Documentation/userspace-api/landlock.rst`. Knows paths and nothing of why they are granted.
//!
//! Landlock governs opening, creating, removing, and since ABI 4 TCP, since ABI 5 device ioctls,
//! since ABI 6 signals and abstract sockets to processes outside. It does not govern `stat`,
//! `chmod`, `chown`, times, extended attributes and mapping a file that is open as code: the
//! system calls filter sees to those that change something.

use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, make_bitflags,
};
use rustix::fs::{FileType, fstat};

use crate::platform::{Confinement, InForce};

/// The newest one that the rules here were read against; the crate leaves out what the kernel lacks.
const NEWEST: ABI = ABI::V10;

/// Reading without executing: code of a library is mapped, and mapping asks for no right.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// All that one does with files of one's own; no devices, and nothing to execute.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir
    | MakeSym | MakeFifo | Refer
});

/// What the loader, the C library and their data need, where it exists. `/dev/zero` is not to be
/// written: a shared writable mapping of it is memory that no limit counts.
const SYSTEM: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/sys/devices/system/cpu",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
];

/// What looking up a name and trusting a certificate need.
const NETWORK: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/pki/tls",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/usr/share/ca-certificates",
];

/// What allocators, runtimes and statistics read of their own process. The rest of `/proc/self` tells
/// of the machine: `net` has its connections, `mountinfo` and `cgroup` its layout.
const OWN_FILES: &[&str] = &[
    "/proc/self/cmdline",
    "/proc/self/maps",
    "/proc/self/stat",
    "/proc/self/statm",
    "/proc/self/status",
];

/// Folders to list only: below `task` each thread has all of `/proc/self` again, and what a link in
/// `fd` leads to has its own rule.
const OWN_FOLDERS: &[&str] = &["/proc/self/fd", "/proc/self/task"];

/// Closes all files but those that are named, and books how it went.
pub(super) fn restrict(confinement: &Confinement, library: BorrowedFd<'_>, in_force: &mut InForce) {
    let status = rules(confinement, library, in_force).and_then(RulesetCreated::restrict_self);
    match status {
        Ok(status) => note(&status, in_force),
        Err(error) => in_force.note("landlock", Err(error)),
    }
}

fn rules(
    confinement: &Confinement,
    library: BorrowedFd<'_>,
    in_force: &mut InForce,
) -> Result<RulesetCreated, RulesetError> {
    let mut rules = handled(confinement.network)?.add_rule(file(library))?;
    let network = if confinement.network { NETWORK } else { &[] };
    for path in SYSTEM.iter().chain(network).map(Path::new) {
        if let Ok(fd) = PathFd::new(path) {
            rules = rules.add_rule(beneath(&fd, READ))?;
        }
    }
    rules = with_device(rules)?;
    rules = with_own_process(rules)?;
    for (paths, access) in [(&confinement.read, READ), (&confinement.write, WRITE)] {
        for path in paths {
            match PathFd::new(path) {
                Ok(fd) => rules = rules.add_rule(beneath(&fd, access))?,
                Err(error) => in_force.note(path.display(), Err(reason(&error))),
            }
        }
    }
    Ok(rules)
}

/// Everything that Landlock can govern, with nothing allowed yet.
fn handled(network: bool) -> Result<RulesetCreated, RulesetError> {
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    if network {
        return rules.create();
    }
    rules.handle_access(AccessNet::from_all(NEWEST))?.create()
}

fn with_device(rules: RulesetCreated) -> Result<RulesetCreated, RulesetError> {
    let Ok(null) = PathFd::new("/dev/null") else {
        return Ok(rules);
    };
    let access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    rules.add_rule(beneath(&null, access))
}

/// Its own part of `/proc`, resolved now. A rule hangs on an inode, and `/proc` makes a new one when
/// memory is short and the old one is not in use: a descriptor keeps each in use.
fn with_own_process(mut rules: RulesetCreated) -> Result<RulesetCreated, RulesetError> {
    let files = OWN_FILES.iter().map(|it| (it, AccessFs::ReadFile));
    let folders = OWN_FOLDERS.iter().map(|it| (it, AccessFs::ReadDir));
    for (path, access) in files.chain(folders) {
        if let Ok(fd) = PathFd::new(path) {
            rules = rules.add_rule(beneath(&fd, access.into()))?;
            std::mem::forget(fd);
        }
    }
    Ok(rules)
}

fn file(fd: BorrowedFd<'_>) -> PathBeneath<BorrowedFd<'_>> {
    PathBeneath::new(fd, AccessFs::ReadFile)
}

/// A rule on what `fd` is; the kernel refuses rights of folders on a file (landlock_add_rule(2)).
fn beneath(fd: &PathFd, access: BitFlags<AccessFs>) -> PathBeneath<BorrowedFd<'_>> {
    let is_folder =
        fstat(fd).is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory);
    let access = if is_folder {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    };
    PathBeneath::new(fd.as_fd(), access)
}

/// The crate's text repeats the path; its source is what the system said.
fn reason(error: &landlock::PathFdError) -> impl Display + use<> {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

fn note(status: &RestrictionStatus, in_force: &mut InForce) {
    let absent = match status.landlock {
        LandlockStatus::NotEnabled => "it was not switched on when the kernel started",
        LandlockStatus::NotImplemented => "the kernel was built without it",
        LandlockStatus::Available { .. } if status.ruleset == RulesetStatus::NotEnforced => {
            "the kernel did not enforce it"
        }
        LandlockStatus::Available { effective_abi, .. } => {
            in_force.note::<&str>(format_args!("landlock (ABI {effective_abi})"), Ok(()));
            if effective_abi < ABI::V3 {
                in_force.note("landlock of truncation", Err("Linux 6.2 has it"));
            }
            return;
        }
    };
    in_force.note("landlock", Err(absent));
}
