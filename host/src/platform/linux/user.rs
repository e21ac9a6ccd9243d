//! Whose rights this process has: credentials(7) and capabilities(7).

use std::io;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::platform::{Confinement, InForce};

/// Becomes the user that is asked for, and gives up what only root may. Tells whether the user is
/// another one now.
pub(super) fn give_up_rights(confinement: &Confinement, in_force: &mut InForce) -> bool {
    let is_root = geteuid().is_root();
    let Some(uid) = confinement.uid else {
        if is_root && confinement.sandbox {
            in_force.note("no capabilities", drop_capabilities());
        }
        return false;
    };
    if !is_root {
        let reason = Err("only root can become another user");
        in_force.note(format_args!("uid {uid}"), reason);
        return false;
    }
    let bounded = close_bounding_set();
    let became = become_user(uid);
    let is_other_user = became.is_ok();
    in_force.note(format_args!("uid {uid}"), became);
    in_force.note("no capabilities", bounded.and_then(|()| drop_rest()));
    is_other_user
}

fn drop_capabilities() -> io::Result<()> {
    close_bounding_set()?;
    drop_rest()
}

/// The groups first, while it still may. The calls are those of one thread, and there is one.
fn become_user(uid: u32) -> io::Result<()> {
    if uid == 0 || uid == u32::MAX {
        return Err(io::Error::other("not the number of an unprivileged user"));
    }
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// What no executable can give back: PR_CAPBSET_DROP(2const). The kernel says where its list ends.
fn close_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        // SAFETY: a number is all that this call reads.
        let failed = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0;
        let error = io::Error::last_os_error();
        if failed && error.raw_os_error() == Some(libc::EINVAL) {
            break;
        }
        if failed {
            return Err(error);
        }
    }
    Ok(())
}

/// A change of the user has emptied the effective and permitted sets, not the inheritable one.
fn drop_rest() -> io::Result<()> {
    // Kernels before 4.3 have no ambient set.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    Ok(set_capabilities(None, sets)?)
}
