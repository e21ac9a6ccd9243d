//! Resource limits of this process: getrlimit(2). Soft and hard alike, so that it cannot raise them.

use rustix::io;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::platform::Confinement;

/// How far the stack of the first thread may grow by itself; Linux gives as much unless told
/// otherwise. glibc's default for other threads is what the limit was when the program started.
const STACK: u64 = 8 << 20;

/// Sets those that count per process.
///
/// `RLIMIT_DATA` counts private mappings while they are writable, and the heap. It does not count
/// shared mappings, mappings that grow down, and page tables; the system calls filter refuses to
/// make those that would need no file, and `mremap`, which would enlarge the first thread's stack.
/// A stack that is cut into pieces, each of which grows, is not counted either, nor are pages that
/// were written and then made read-only, as loaders do: this stops accidents, and only a control
/// group ([`cgroup`](super::cgroup)) bounds an attacker. Address space (`RLIMIT_AS`) is not limited: allocators and runtimes reserve
/// much more than they use.
pub(super) fn set(confinement: &Confinement) -> Result<(), String> {
    set_one("core", Resource::Core, 0)?;
    set_one("open_files", Resource::Nofile, confinement.open_files)?;
    set_one("file_size", Resource::Fsize, confinement.file_size)?;
    set_one("stack", Resource::Stack, STACK)?;
    set_one("memory", Resource::Data, confinement.memory)
}

/// Sets how many threads the user of this process may have, over all of its processes. It does not
/// bind root and who has CAP_SYS_RESOURCE or CAP_SYS_ADMIN.
pub(super) fn set_tasks(tasks: u64) -> Result<(), String> {
    set_one("tasks", Resource::Nproc, tasks)
}

fn set_one(name: &str, resource: Resource, wanted: u64) -> Result<(), String> {
    lower(resource, wanted).map_err(|error| format!("{name}: {error}"))
}

/// Never asks for more than there is: only root may.
fn lower(resource: Resource, wanted: u64) -> io::Result<()> {
    let ceiling = getrlimit(resource).maximum;
    let limit = Some(ceiling.map_or(wanted, |it| it.min(wanted)));
    setrlimit(
        resource,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )
}
