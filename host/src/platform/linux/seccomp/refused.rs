//! The system calls that a worker is refused, each group with what it would give away.

use std::collections::BTreeMap;

use libc::c_long;
use rustix::process::getpid;
use seccompiler::{
    BackendError, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompRule,
};

use crate::platform::Confinement;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
type Condition = Result<SeccompCondition, BackendError>;

/// Other programs: execve(2). Landlock grants no right to execute either.
const PROGRAMS: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// Other processes, their memory and their descriptors: ptrace(2), process_vm_readv(2), pidfd_open(2).
const PROCESSES: &[c_long] = &[
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
];

/// Namespaces and mounts, which change what a path means: namespaces(7), mount(2). `personality`
/// turns off the randomization of addresses.
const NAMESPACES: &[c_long] = &[
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_personality,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

/// Parts of the kernel with many holes in their past that no plugin needs: io_uring(7), which also
/// acts without system calls, bpf(2), perf_event_open(2), userfaultfd(2), keyrings(7), fanotify(7).
const KERNEL: &[c_long] = &[
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_request_key,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
];

/// Memory and queues that outlive a process or count against no limit of it: sysvipc(7),
/// mq_overview(7), memfd_create(2), memfd_secret(2).
const SHARED: &[c_long] = &[
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmget,
];

/// What only root may: refused for where the worker stays root.
const MACHINE: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_swapoff,
    libc::SYS_swapon,
];

/// Those that only this architecture has. `fork` and `vfork` are others' `clone`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const ARCHITECTURE: &[c_long] = &[libc::SYS_kexec_file_load];

/// Sockets: socket(2), socketpair(2). What the worker was given stays usable: `sendmsg`, `recvmsg`.
const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_socket,
    libc::SYS_socketpair,
];

/// Modes, owners, extended attributes and times by path: Landlock does not govern them, so that a
/// worker with the daemon's user could change them on all of its files.
const ATTRIBUTES: &[c_long] = &[
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_fchownat,
    SYS_FILE_SETATTR,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    SYS_REMOVEXATTRAT,
    libc::SYS_setxattr,
    SYS_SETXATTRAT,
];

/// The same, in older words.
#[cfg(target_arch = "x86_64")]
const OLD_ATTRIBUTES: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_futimesat,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_ATTRIBUTES: &[c_long] = &[];

/// The same, of a file that is open.
const OPEN_ATTRIBUTES: &[c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
];

/// Numbers that the libc crate does not have on all architectures.
const SYS_FCHMODAT2: c_long = 452;
const SYS_SETXATTRAT: c_long = 463;
const SYS_REMOVEXATTRAT: c_long = 466;
const SYS_OPEN_TREE_ATTR: c_long = 467;
const SYS_FILE_SETATTR: c_long = 469;

/// Options of prctl(2) by which a process would outlive the daemon, or open itself to others.
const PRCTL: &[libc::c_int] = &[
    libc::PR_SET_DUMPABLE,
    libc::PR_SET_MM,
    libc::PR_SET_PDEATHSIG,
    libc::PR_SET_PTRACER,
];

/// Requests of ioctl(2) that type into the terminal of others: TIOCSTI(2const), TIOCLINUX(2const).
const IOCTL: &[libc::Ioctl] = &[libc::TIOCSTI, libc::TIOCLINUX];

/// All that a worker under `confinement` is refused.
pub(super) fn rules(confinement: &Confinement, is_other_user: bool) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let always = [
        PROGRAMS,
        PROCESSES,
        NAMESPACES,
        KERNEL,
        SHARED,
        MACHINE,
        ARCHITECTURE,
    ];
    rules.extend(whole(always.concat()));
    new_processes(&mut rules)?;
    other_processes(&mut rules)?;
    uncounted_memory(&mut rules)?;
    options(&mut rules)?;
    sockets(&mut rules, confinement.network)?;
    if !is_other_user {
        priorities(&mut rules)?;
    }
    // A user of its own that was granted a folder owns what lies in there, and nothing else.
    if confinement.write.is_empty() || !is_other_user {
        rules.extend(whole([ATTRIBUTES, OLD_ATTRIBUTES].concat()));
        // Without a path it is the times of an open file.
        let has_path = differs(1, Length::Qword, 0);
        refuse(&mut rules, libc::SYS_utimensat, [has_path])?;
    }
    if confinement.write.is_empty() {
        rules.extend(whole(OPEN_ATTRIBUTES.to_vec()));
    }
    Ok(rules)
}

/// A call without rules is refused whatever its arguments are.
fn whole(calls: Vec<c_long>) -> impl Iterator<Item = (c_long, Vec<SeccompRule>)> {
    calls.into_iter().map(|call| (call, Vec::new()))
}

/// Threads stay possible: clone(2). The kernel reads the lower half of the flags.
fn new_processes(rules: &mut Rules) -> Result<(), BackendError> {
    let thread = bit(libc::CLONE_THREAD);
    let no_thread = SeccompCondition::new(0, Length::Dword, Compare::MaskedEq(thread), 0);
    refuse(rules, libc::SYS_clone, [no_thread])
}

/// Signals to others: kill(2), tgkill(2), rt_sigqueueinfo(2); 0 and -1 are whole groups. And the
/// limits of others: prlimit(2), where 0 is the caller.
fn other_processes(rules: &mut Rules) -> Result<(), BackendError> {
    let own = own_number();
    for call in [
        libc::SYS_kill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_tgkill,
        libc::SYS_tkill,
    ] {
        refuse(rules, call, [differs(0, Length::Dword, own)])?;
    }
    let sets = differs(2, Length::Qword, 0);
    let [not_own, not_caller] = other(0);
    refuse(rules, libc::SYS_prlimit64, [not_own, not_caller, sets])
}

/// Priority and place of other processes of the same user: setpriority(2), ioprio_set(2),
/// sched_setaffinity(2), which no part of Landlock governs. A thread that names itself by its
/// number is refused too; 0 is the way that remains.
fn priorities(rules: &mut Rules) -> Result<(), BackendError> {
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        refuse(rules, call, other(0))?;
    }
    // The first argument tells a process from a group and a user.
    for (call, process) in [(libc::SYS_setpriority, 0), (libc::SYS_ioprio_set, 1)] {
        refuse(rules, call, other(1))?;
        refuse(rules, call, [differs(0, Length::Dword, process)])?;
    }
    Ok(())
}

fn own_number() -> u64 {
    bit(getpid().as_raw_nonzero().get())
}

/// That the argument names a process, and not this one.
fn other(argument: u8) -> [Condition; 2] {
    [own_number(), 0].map(|number| differs(argument, Length::Dword, number))
}

/// Mappings that `RLIMIT_DATA` does not count and that need no file: shared ones, and those that
/// grow down, which the kernel books as stack whatever their size: mmap(2), getrlimit(2). To enlarge one is refused by number.
fn uncounted_memory(rules: &mut Rules) -> Result<(), BackendError> {
    for flags in [libc::MAP_SHARED | libc::MAP_ANONYMOUS, libc::MAP_GROWSDOWN] {
        let has_all = Compare::MaskedEq(bit(flags));
        let has_all = SeccompCondition::new(3, Length::Dword, has_all, bit(flags));
        refuse(rules, libc::SYS_mmap, [has_all])?;
    }
    Ok(())
}

fn options(rules: &mut Rules) -> Result<(), BackendError> {
    for option in PRCTL {
        let same = SeccompCondition::new(0, Length::Dword, Compare::Eq, bit(*option));
        refuse(rules, libc::SYS_prctl, [same])?;
    }
    for request in IOCTL {
        let request = *request & libc::Ioctl::from(u32::MAX);
        let same = SeccompCondition::new(1, Length::Dword, Compare::Eq, request);
        refuse(rules, libc::SYS_ioctl, [same])?;
    }
    Ok(())
}

/// With `network`, sockets of IP, and of netlink because looking up a name asks it for addresses.
/// Those of the Unix family stay closed, whose paths Landlock governs only since ABI 9.
fn sockets(rules: &mut Rules, network: bool) -> Result<(), BackendError> {
    if !network {
        rules.extend(whole(SOCKETS.to_vec()));
        return Ok(());
    }
    let families = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let is_none = families.map(|family| differs(0, Length::Dword, bit(family)));
    refuse(rules, libc::SYS_socket, is_none)
}

fn differs(argument: u8, length: Length, value: u64) -> Condition {
    SeccompCondition::new(argument, length, Compare::Ne, value)
}

/// Refuses `call` where all of the conditions hold, beside where it is refused already.
fn refuse<const N: usize>(
    rules: &mut Rules,
    call: c_long,
    conditions: [Condition; N],
) -> Result<(), BackendError> {
    let conditions: Result<Vec<_>, _> = conditions.into_iter().collect();
    let rule = SeccompRule::new(conditions?)?;
    rules.entry(call).or_default().push(rule);
    Ok(())
}

/// The constants of C are `int`, the arguments of a system call are not.
fn bit(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}
