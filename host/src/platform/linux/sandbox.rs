//! The order in which a worker gives up what it does not need: each step must still be allowed by
//! those before it. Knows of none how it is done.

use std::ffi::{CString, c_char};
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Signal, chdir, parent_process_death_signal, set_dumpable_behavior,
    set_parent_process_death_signal, umask,
};
use rustix::thread::set_no_new_privs;

use crate::platform::{Confinement, InForce};

use super::{landlock, limits, seccomp, user};

#[cfg(test)]
mod tests;

unsafe extern "C" {
    /// The strings of the environment, behind each other until a null pointer: environ(7).
    static mut environ: *mut *mut c_char;
}

pub(in crate::platform) fn confine(confinement: &Confinement, library: BorrowedFd<'_>) -> InForce {
    let mut in_force = InForce::default();
    // Portable workers have another tie, and time to clear up.
    let is_tied = parent_process_death_signal().is_ok_and(|signal| signal.is_some());
    in_force.note("environment", environment(confinement));
    surroundings(&mut in_force);
    if confinement.sandbox {
        // An executable with the set-user-id bit raises nobody any more; Landlock and seccomp ask
        // for it of those without CAP_SYS_ADMIN. PR_SET_NO_NEW_PRIVS(2const).
        in_force.note("no new privileges", set_no_new_privs(true));
    }
    in_force.note("limits", limits::set(confinement));
    let is_other_user = user::give_up_rights(confinement, &mut in_force);
    if is_other_user {
        in_force.note("tasks", limits::set_tasks(confinement.tasks));
    }
    ties(is_tied || confinement.sandbox, &mut in_force);
    if confinement.sandbox {
        landlock::restrict(confinement, library, &mut in_force);
        in_force.note("seccomp", seccomp::restrict(confinement, is_other_user));
    }
    in_force
}

/// Leaves the variables that were granted and no other. The old ones are wiped too: they lie on the
/// stack, where `getenv` is not the only one to find them, and `/proc/self/environ` shows them.
fn environment(confinement: &Confinement) -> Result<(), String> {
    // SAFETY: this process has one thread, so nobody reads or changes the environment meanwhile;
    // its strings are writable and end with a zero (environ(7)).
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            (*entry).write_bytes(0, libc::strlen(*entry));
            entry = entry.add(1);
        }
        libc::clearenv();
    }
    let refused: Vec<_> = confinement.env.iter().filter_map(set_variable).collect();
    let none = refused.is_empty();
    none.then_some(()).ok_or_else(|| refused.join(", "))
}

/// The name of the variable, if it cannot be set.
fn set_variable((name, value): (&String, &String)) -> Option<String> {
    let strings =
        CString::new(name.as_str()).and_then(|it| Ok((it, CString::new(value.as_str())?)));
    let is_set = strings.is_ok_and(|(name, value)| {
        // SAFETY: one thread, and both are strings that end with a zero; they are copied.
        unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) == 0 }
    });
    (!is_set).then(|| format!("`{}` cannot be set", name.escape_default()))
}

/// What a process inherits without having asked. Where the score cannot be set the daemon is no
/// worse off than any other program, which is not worth a word in the log.
fn surroundings(in_force: &mut InForce) {
    // When memory runs out the kernel shall take a worker, not the daemon: proc_pid_oom_score_adj(5).
    let _ = fs::write("/proc/self/oom_score_adj", "800");
    umask(Mode::from_raw_mode(0o077));
    if let Err(error) = chdir("/") {
        in_force.note("working directory", Err(error));
    }
}

/// What binds it to the daemon, and it alone.
fn ties(is_tied: bool, in_force: &mut InForce) {
    // Whoever changes its user loses this wish, so it comes after: PR_SET_PDEATHSIG(2const).
    if is_tied {
        let dies_with_parent = set_parent_process_death_signal(Some(Signal::KILL));
        in_force.note("parent death signal", dies_with_parent);
    }
    // No core of it is written, not even by a program that core_pattern names, and no process of
    // the same user may attach to it: PR_SET_DUMPABLE(2const), ptrace(2).
    let is_closed = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    in_force.note("not dumpable", is_closed.map_err(io::Error::from));
}
