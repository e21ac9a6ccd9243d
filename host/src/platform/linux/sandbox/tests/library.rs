//! That the one library can be loaded, with what it needs.

use std::ffi::CStr;
use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use rustix::process::{geteuid, getpid};
use tempfile::TempDir;

use super::{confined, confinement, in_child};
use crate::platform::confine;

/// A library that every test binary has loaded, staged as a daemon stages plugins.
fn staged(mode: u32) -> (TempDir, File, PathBuf) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps
        .split_whitespace()
        .find(|it| it.contains("libgcc_s"))
        .expect("Rust's std unwinds with libgcc_s");
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let copy = folder.path().join("libstaged.so");
    fs::copy(path, &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(mode)).unwrap();
    let file = File::open(&copy).unwrap();
    (folder, file, copy)
}

/// The error of opening the library behind `file`, and whether its path is closed.
fn loads(file: &File) -> Option<String> {
    let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    // SAFETY: the path ends with a zero; constructors of a library that is loaded already may run.
    unsafe {
        let path = path.as_ptr().cast();
        if !libc::dlopen(path, libc::RTLD_NOW | libc::RTLD_LOCAL).is_null() {
            return None;
        }
        Some(
            CStr::from_ptr(libc::dlerror())
                .to_string_lossy()
                .into_owned(),
        )
    }
}

#[test]
fn a_library_in_a_closed_folder_is_loaded_through_its_descriptor() {
    let (_folder, file, path) = staged(0o555);
    let asked = confinement();
    let (error, by_path, is_mapped) = in_child(|| {
        let in_force = confine(&asked, file.as_fd());
        assert_eq!(in_force.missing, [""; 0]);
        let error = loads(&file);
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let is_mapped = maps.contains("libstaged.so");
        (error, File::open(&path).is_ok(), is_mapped)
    });
    assert_eq!(error, None);
    // The path leads through a folder that only the daemon's user may enter; the file is granted.
    assert_eq!((is_mapped, by_path), (true, asked.uid.is_none()));
}

#[test]
fn a_library_that_only_root_may_read_is_refused_to_another_user() {
    if !geteuid().is_root() {
        return;
    }
    let (_folder, file, _) = staged(0o500);
    let asked = confinement();
    let (error, in_force) = in_child(|| {
        let in_force = confine(&asked, file.as_fd());
        (loads(&file), in_force)
    });
    let error = error.unwrap();
    assert!(error.contains("Permission denied"), "{error} {in_force:#?}");
}

#[test]
fn no_other_library_is_readable() {
    let (_folder, _file, path) = staged(0o555);
    fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    let (_, opened) = confined(&confinement(), || File::open(&path).is_ok());
    assert!(!opened);
}

#[test]
fn what_a_c_library_needs_works() {
    let (_, works) = confined(&confinement(), || {
        let own = ["cmdline", "maps", "stat", "statm", "status"];
        let own = own.map(|it| fs::read(format!("/proc/self/{it}")).is_ok());
        let lists = ["fd", "task"].map(|it| fs::read_dir(format!("/proc/self/{it}")).is_ok());
        let null = fs::write("/dev/null", "text").is_ok();
        let urandom = File::open("/dev/urandom").is_ok();
        let cores = thread::available_parallelism().is_ok();
        let library = fs::read_dir("/usr/lib").is_ok();
        [&own[..], &lists, &[null, urandom, cores, library]].concat()
    });
    assert_eq!(works, [true; 11]);
}

#[test]
fn what_its_folder_of_proc_tells_of_the_machine_is_closed() {
    let names = ["net/dev", "net/tcp", "mountinfo", "mounts", "cgroup"];
    let opened = || -> Vec<String> {
        let task = format!("/proc/self/task/{}", getpid().as_raw_nonzero());
        let folders = ["/proc/self", "/proc/thread-self", &task];
        let paths = folders
            .iter()
            .flat_map(|it| names.map(|name| format!("{it}/{name}")));
        paths.filter(|it| File::open(it).is_ok()).collect()
    };
    let (_, inside) = confined(&confinement(), opened);
    assert_eq!(inside, [""; 0]);
    assert!(in_child(opened).contains(&"/proc/self/mountinfo".to_owned()));
}

#[test]
fn its_own_part_of_proc_stays_in_use() {
    let (_, is_open) = confined(&confinement(), || {
        let file = format!("/proc/{}/maps", getpid().as_raw_nonzero());
        let open = fs::read_dir("/proc/self/fd").unwrap();
        let mut open = open.filter_map(|it| fs::read_link(it.unwrap().path()).ok());
        open.any(|it| it.as_os_str() == &*file)
    });
    assert!(is_open);
}
