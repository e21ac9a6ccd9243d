//! The group that this process was started in: whether it is left to us to divide, and its division.
//!
//! A service manager says so on the group (systemd: `Delegate=`); where there is none, as in most
//! containers, a group that nobody else is in, and that can be written, is ours.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{TRIES, WORKER, is_removed, set};

/// Where all groups are.
const MOUNT: &str = "/sys/fs/cgroup";
/// The group that the host moves into.
const HOST: &str = "daemon";
/// What must be left to us.
const CONTROLLERS: &[&str] = &["memory", "pids"];
/// How systemd marks a group that it leaves to others: systemd.resource-control(5).
const MARK: &str = "user.delegate";
/// It is there where systemd runs: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// Makes room for workers' groups, and gives the folder to make them in; else the reason why not.
pub(super) fn take() -> Result<PathBuf, String> {
    let membership = fs::read_to_string("/proc/self/cgroup");
    let membership = membership.map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let base = find(Path::new(MOUNT), &membership)?;
    if Path::new(BOOTED).exists() && !is_marked(&base) {
        return Err(format!(
            "systemd has not left `{}` to this host: its unit needs `Delegate=memory pids`",
            base.display()
        ));
    }
    divide(&base, std::process::id())?;
    Ok(base)
}

/// Our group in the unified hierarchy: the line with number 0 and no controllers.
pub(super) fn find(mount: &Path, membership: &str) -> Result<PathBuf, String> {
    let path = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::/"));
    let path = path.ok_or("this system has no unified hierarchy of control groups (cgroup v2)")?;
    // One outside of our view begins with `/..`: cgroup_namespaces(7).
    if Path::new(path)
        .components()
        .any(|it| it == Component::ParentDir)
    {
        return Err(format!(
            "this process is in `/{path}`, which cannot be seen from here"
        ));
    }
    let base = mount.join(path);
    if !base.join("cgroup.controllers").exists() {
        return Err(format!(
            "there is no unified hierarchy of control groups (cgroup v2) at `{}`",
            mount.display()
        ));
    }
    Ok(base)
}

fn is_marked(base: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::getxattr(base, MARK, &mut value[..]).is_ok_and(|length| value[..length] == *b"1")
}

/// Moves the host aside and hands the controllers down, after what an earlier host has left is gone.
pub(super) fn divide(base: &Path, process: u32) -> Result<(), String> {
    let lacking = lacking(base)?;
    if !lacking.is_empty() {
        let (base, lacking) = (base.display(), lacking.join(" and "));
        return Err(format!("`{base}` has no controller {lacking}"));
    }
    if let Some(other) = other_process(base, process)? {
        let base = base.display();
        return Err(format!(
            "`{base}` is not this host's alone: process {other} is in it too"
        ));
    }
    clear(base);
    let host = base.join(HOST);
    make(&host).map_err(|error| format!("`{}`: {error}", host.display()))?;
    let moved = set(&host, "cgroup.procs", process);
    let divided = moved.and_then(|()| set(base, "cgroup.subtree_control", handed_down()));
    divided.map_err(|error| {
        // As it was; if that fails too, the host is in a group without limits all the same.
        let _ = set(base, "cgroup.procs", process);
        let _ = is_removed(&host);
        error.to_string()
    })
}

fn handed_down() -> String {
    let all: Vec<_> = CONTROLLERS.iter().map(|it| format!("+{it}")).collect();
    all.join(" ")
}

fn lacking(base: &Path) -> Result<Vec<&'static str>, String> {
    let path = base.join("cgroup.controllers");
    let there = fs::read_to_string(&path);
    let there = there.map_err(|error| format!("`{}`: {error}", path.display()))?;
    let is_lacking = |name: &&str| !there.split_ascii_whitespace().any(|it| it == *name);
    Ok(CONTROLLERS.iter().copied().filter(is_lacking).collect())
}

/// A process of the group that is not this one.
fn other_process(base: &Path, process: u32) -> Result<Option<u32>, String> {
    let path = base.join("cgroup.procs");
    let all = fs::read_to_string(&path);
    let all = all.map_err(|error| format!("`{}`: {error}", path.display()))?;
    let mut numbers = all.lines().filter_map(|line| line.parse().ok());
    Ok(numbers.find(|&number| number != process))
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Ends and removes the workers of an earlier host. What does not end stays, and is in nobody's way.
fn clear(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let is_workers = |name: &str| name.starts_with(WORKER);
    let left = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_workers));
    let mut left: Vec<_> = left.map(|entry| entry.path()).collect();
    for folder in &left {
        let _ = set(folder, "cgroup.kill", 1);
    }
    for doubled in 0..TRIES {
        left.retain(|folder| !is_removed(folder));
        if left.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(1 << doubled));
    }
}
