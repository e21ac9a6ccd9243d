//! Against a folder that plays the kernel's: what is read, written, made and removed. What the kernel
//! does about it is tested in a virtual machine.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::own::{divide, find};
use super::*;

const US: u32 = 77;

/// A group `name` with the files that the kernel would make.
fn group(parent: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = parent.join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    folder
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

/// One that is left to us, with the leaf that the kernel would fill with files when it is made.
fn delegated(controllers: &str, processes: &str) -> (TempDir, PathBuf) {
    let mount = tempfile::tempdir().unwrap();
    let files = [
        ("cgroup.controllers", controllers),
        ("cgroup.procs", processes),
        ("cgroup.subtree_control", ""),
    ];
    let base = group(mount.path(), "system.slice/bulkhead.service", &files);
    group(&base, "daemon", &[("cgroup.procs", "")]);
    (mount, base)
}

#[test]
fn the_host_moves_aside_and_hands_the_controllers_down() {
    let (_mount, base) = delegated("cpu memory pids\n", "77\n");
    fs::create_dir(base.join("worker-1")).unwrap();
    fs::create_dir(base.join("worker-22")).unwrap();
    fs::create_dir(base.join(".control")).unwrap();
    divide(&base, US).unwrap();
    assert_eq!(read(&base.join("daemon"), "cgroup.procs"), "77");
    assert_eq!(read(&base, "cgroup.subtree_control"), "+memory +pids");
    // An earlier host's workers are gone, what is the service manager's stays.
    assert!(!base.join("worker-1").exists() && !base.join("worker-22").exists());
    assert!(base.join(".control").exists());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (_mount, base) = delegated("cpu pids\n", "77\n");
    let reason = divide(&base, US).unwrap_err();
    assert!(
        reason.ends_with("bulkhead.service` has no controller memory"),
        "{reason}"
    );
    let (_mount, base) = delegated("memory pids\n", "12\n77\n");
    let reason = divide(&base, US).unwrap_err();
    assert!(
        reason.ends_with("is not this host's alone: process 12 is in it too"),
        "{reason}"
    );
    assert_eq!(read(&base, "cgroup.subtree_control"), "");
    assert_eq!(read(&base.join("daemon"), "cgroup.procs"), "");
}

#[test]
fn the_host_goes_back_where_controllers_cannot_be_handed_down() {
    let (_mount, base) = delegated("memory pids\n", "77\n");
    fs::remove_file(base.join("cgroup.subtree_control")).unwrap();
    fs::write(base.join("cgroup.procs"), "").unwrap();
    let reason = divide(&base, US).unwrap_err();
    assert!(reason.contains("cgroup.subtree_control`: "), "{reason}");
    assert_eq!(read(&base, "cgroup.procs"), "77");
}

#[test]
fn our_group_is_found_in_the_unified_hierarchy_only() {
    let (mount, base) = delegated("memory pids\n", "77\n");
    let find = |membership: &str| find(mount.path(), membership);
    let ours = "0::/system.slice/bulkhead.service\n";
    assert_eq!(find(ours), Ok(base.clone()));
    assert_eq!(find(&format!("4:memory:/x\n1:cpu:/\n{ours}")), Ok(base));
    let no = |membership: &str, told: &str| {
        let reason = find(membership).unwrap_err();
        assert!(reason.contains(told), "{reason}");
    };
    no("4:memory:/x\n1:cpu:/\n", "no unified hierarchy");
    no("4:memory:/x\n0::/\n", "there is no unified hierarchy");
    no(
        "0::/../other\n",
        "`/../other`, which cannot be seen from here",
    );
}

#[test]
fn a_worker_is_limited_with_all_that_it_needs() {
    let mount = tempfile::tempdir().unwrap();
    let names = ["memory.oom.group", "memory.max", "pids.max", "cgroup.procs"];
    let files = names.map(|name| (name, ""));
    let folder = group(mount.path(), "worker-1", &files);
    let worker = Group { folder };
    worker.adopt(5).unwrap();
    // There is no memory.swap.max: that is no fault.
    worker.limit(512 << 20, 16 << 20, 256).unwrap();
    let read = |name| read(&worker.folder, name);
    assert_eq!(read("cgroup.procs"), "5");
    assert_eq!(read("memory.oom.group"), "1");
    assert_eq!(read("memory.max"), ((512 + 64 + 16 + 24) << 20).to_string());
    assert_eq!(read("pids.max"), "256");
    fs::write(worker.folder.join("memory.swap.max"), "").unwrap();
    worker.limit(u64::MAX, 16 << 20, 256).unwrap();
    assert_eq!(read("memory.swap.max"), "0");
    assert_eq!(read("memory.max"), u64::MAX.to_string());
    fs::remove_file(worker.folder.join("pids.max")).unwrap();
    let error = worker.limit(1, 0, 256).unwrap_err().to_string();
    assert!(
        error.starts_with("control group `") && error.contains("worker-1/pids.max`"),
        "{error}"
    );
}

#[test]
fn the_kernels_word_counts_where_a_worker_lacked_memory() {
    let mount = tempfile::tempdir().unwrap();
    let told = |events: &str| {
        let folder = group(mount.path(), "worker-1", &[("memory.events", events)]);
        Group { folder }.lacked_memory()
    };
    let events = "low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 1\n";
    assert!(told(events));
    assert!(!told("max 31\noom 0\noom_kill 0\noom_group_kill 0\n"));
    // Before 5.17 there was no `oom_group_kill`, and another key is not this one.
    assert!(!told("oom_kill_x 3\n") && !told(""));
    let gone = mount.path().join("gone");
    assert!(!Group { folder: gone }.lacked_memory());
}

#[tokio::test]
async fn a_group_is_made_ended_and_removed() {
    let mount = tempfile::tempdir().unwrap();
    fs::create_dir(mount.path().join("worker-1")).unwrap();
    let groups = Groups::below(mount.path().to_owned());
    // The name of one that is still there is nobody else's.
    let second = groups.create().unwrap();
    assert_eq!(second.folder, mount.path().join("worker-2"));
    second.bury().await;
    assert!(!second.folder.exists());
    // A second time does no harm.
    second.bury().await;
    let third = groups.create().unwrap();
    let folder = third.folder.clone();
    assert!(folder.ends_with("worker-3") && folder.exists());
    drop(third);
    assert!(!folder.exists());
}

#[tokio::test]
async fn what_takes_its_time_to_end_is_waited_for() {
    let mount = tempfile::tempdir().unwrap();
    let folder = group(mount.path(), "worker-1", &[("cgroup.kill", "")]);
    let kill = folder.join("cgroup.kill");
    let worker = Group { folder };
    let ending = async {
        while fs::read_to_string(&kill).unwrap() != "1" {
            tokio::task::yield_now().await;
        }
        fs::remove_file(&kill).unwrap();
    };
    tokio::join!(worker.bury(), ending);
    assert!(!worker.folder.exists());
}
