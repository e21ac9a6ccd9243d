//! Confinement is for good, so each scenario runs in a child of its own. A child of `fork` has one
//! thread, as `confine` wants it.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Resource, geteuid, getpid, getppid, getrlimit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::platform::{Attempt, Confinement, InForce, confine, prove};

const UID: u32 = 61_184;
const MEMORY: u64 = 256 << 20;

fn confinement() -> Confinement {
    Confinement {
        sandbox: true,
        memory: MEMORY,
        open_files: 64,
        file_size: 1 << 20,
        tasks: 64,
        uid: geteuid().is_root().then_some(UID),
        network: false,
        read: Vec::new(),
        write: Vec::new(),
        env: BTreeMap::new(),
    }
}

/// Runs `scenario` in a child and hands its answer over.
fn in_child<T: Serialize + DeserializeOwned>(scenario: impl FnOnce() -> T) -> T {
    let (mut reader, mut writer) = io::pipe().unwrap();
    // SAFETY: the C library keeps its own locks whole over a fork, and what else the threads of the
    // test may hold the child does not touch.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", io::Error::last_os_error());
    if child == 0 {
        let answer = catch_unwind(AssertUnwindSafe(scenario));
        let written = answer
            .ok()
            .map(|it| writer.write_all(&serde_json::to_vec(&it).unwrap()));
        // SAFETY: it ends the child, without what the parent has registered for its own end.
        unsafe { libc::_exit(i32::from(!matches!(written, Some(Ok(()))))) };
    }
    drop(writer);
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).unwrap();
    let mut status = 0;
    // SAFETY: the address is that of a number which outlives the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child failed");
    serde_json::from_slice(&answer).unwrap()
}

/// Runs `scenario` confined, with what is in force.
fn confined<T: Serialize + DeserializeOwned>(
    confinement: &Confinement,
    scenario: impl FnOnce() -> T,
) -> (InForce, T) {
    let library = File::open("/dev/null").unwrap();
    in_child(|| (confine(confinement, library.as_fd()), scenario()))
}

fn parent() -> i32 {
    getppid()
        .expect("a test has a parent")
        .as_raw_nonzero()
        .get()
}

/// The names of the attempts that were possible.
fn possible(attempts: &[Attempt]) -> Vec<&str> {
    let possible = attempts.iter().filter(|it| !it.held);
    possible.map(|it| it.name.as_str()).collect()
}

#[test]
fn nothing_that_is_tried_is_possible() {
    let asked = confinement();
    let (in_force, attempts) = confined(&asked, || prove(&asked, parent()));
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}\n{in_force:#?}");
    assert_eq!(in_force.missing, [""; 0]);
}

#[test]
fn all_that_is_tried_is_possible_without() {
    let asked = confinement();
    let attempts = in_child(|| prove(&asked, parent()));
    // Whether these are there is the kernel's matter and not the user's.
    let optional = ["use io_uring", "call the x32 table"];
    let held = attempts.iter().filter(|it| it.held);
    let held: Vec<_> = held.filter(|it| !optional.contains(&&*it.name)).collect();
    assert!(held.is_empty() || !geteuid().is_root(), "{held:#?}");
    assert!(possible(&attempts).contains(&"read /etc/passwd"));
}

#[test]
fn an_attempt_leaves_nothing_behind() {
    let asked = confinement();
    let left: Vec<bool> = in_child(|| {
        prove(&asked, parent());
        let own = getpid().as_raw_nonzero().get();
        let file = format!(".bulkhead-proof-{own}");
        let folders = ["/tmp", "/var/tmp"].map(|it| Path::new(it).join(&file).exists());
        let limited = getrlimit(Resource::Data).maximum.is_some();
        // SAFETY: no address is written, and the answer is looked at.
        let child = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } >= 0;
        [&folders[..], &[limited, child]].concat()
    });
    assert_eq!(left, [false; 4]);
}

#[test]
fn what_is_in_force_is_told() {
    let asked = confinement();
    let (in_force, ()) = confined(&asked, || ());
    let has = |wanted: &str| in_force.measures.iter().any(|it| it.starts_with(wanted));
    for measure in [
        "environment",
        "no new privileges",
        "limits",
        "landlock (ABI ",
        "seccomp",
    ] {
        assert!(has(measure), "{measure}: {in_force:#?}");
    }
    assert_eq!(has("uid 61184"), asked.uid.is_some(), "{in_force:#?}");
}

#[test]
fn without_a_sandbox_the_system_stays_open() {
    let asked = Confinement {
        sandbox: false,
        ..confinement()
    };
    let (in_force, (file, limit)) = confined(&asked, || {
        let file = fs::read("/etc/passwd").is_ok();
        (file, getrlimit(Resource::Data).maximum)
    });
    assert!(file);
    assert_eq!(limit, Some(MEMORY));
    assert!(!in_force.measures.iter().any(|it| it == "seccomp"));
    assert_eq!(in_force.missing, [""; 0]);
}

#[test]
fn threads_work() {
    let (_, (sum, status)) = confined(&confinement(), || {
        let threads: Vec<_> = (1..=4).map(|it| thread::spawn(move || it)).collect();
        let sum: u32 = threads.into_iter().map(|it| it.join().unwrap()).sum();
        (sum, c_thread())
    });
    assert_eq!((sum, status), (10, 0));
}

/// The answer of `pthread_create`, joined.
fn c_thread() -> i32 {
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        std::ptr::null_mut()
    }
    // SAFETY: the thread reads no address, and is joined before its number goes.
    unsafe {
        let mut thread = std::mem::zeroed();
        let nothing = std::ptr::null_mut();
        let status = libc::pthread_create(&raw mut thread, std::ptr::null(), body, nothing);
        if status == 0 {
            libc::pthread_join(thread, std::ptr::null_mut());
        }
        status
    }
}

#[test]
fn a_thread_is_confined_as_well() {
    let (_, attempts) = confined(&confinement(), || {
        let asked = confinement();
        let parent = parent();
        thread::spawn(move || prove(&Confinement { uid: None, ..asked }, parent))
            .join()
            .unwrap()
    });
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}");
}

#[test]
fn it_may_abort() {
    let signal = {
        let asked = confinement();
        let library = File::open("/dev/null").unwrap();
        // SAFETY: see `in_child`; the child only confines itself and aborts.
        let child = unsafe { libc::fork() };
        if child == 0 {
            confine(&asked, library.as_fd());
            std::process::abort();
        }
        let mut status = 0;
        // SAFETY: the address is that of a number which outlives the call.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(libc::WIFSIGNALED(status) && !libc::WCOREDUMP(status));
        libc::WTERMSIG(status)
    };
    assert_eq!(signal, libc::SIGABRT);
}

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
    assert!(is_mapped && !by_path);
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
fn memory_has_an_end() {
    let (_, (small, large, in_slices)) = confined(&confinement(), || {
        let has = |bytes: u64| {
            let bytes = usize::try_from(bytes).unwrap();
            Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
        };
        let mut slices: Vec<Vec<u8>> = Vec::new();
        let mut slice = Vec::new();
        while slice.try_reserve_exact(1 << 20).is_ok() && slices.len() < 1024 {
            slices.push(std::mem::take(&mut slice));
        }
        let count = slices.len();
        drop(slices);
        (has(MEMORY / 4), has(2 * MEMORY), count)
    });
    assert!(small && !large);
    assert!((100..=256).contains(&in_slices), "{in_slices} MiB");
}

#[test]
fn files_have_an_end() {
    let (_, (opened, core)) = confined(&confinement(), || {
        let files = (0..100).map_while(|_| File::open("/dev/null").ok());
        let files: Vec<_> = files.collect();
        let opened = files.len();
        (opened, getrlimit(Resource::Core).maximum)
    });
    assert!((1..64).contains(&opened), "{opened}");
    assert_eq!(core, Some(0));
}

#[test]
fn threads_have_an_end_where_the_user_is_its_own() {
    if !geteuid().is_root() {
        return;
    }
    // The other tests use the other user, and these are counted per user.
    let asked = Confinement {
        uid: Some(UID + 1),
        tasks: 4,
        ..confinement()
    };
    let (_, started) = confined(&asked, || {
        let threads = (0..16).map_while(|_| thread::Builder::new().spawn(thread::park).ok());
        let threads: Vec<_> = threads.collect();
        for it in &threads {
            it.thread().unpark();
        }
        threads
            .into_iter()
            .map(|it| it.join())
            .filter(Result::is_ok)
            .count()
    });
    assert_eq!(started, 3);
}

#[test]
fn only_the_variables_that_were_granted_are_set() {
    let mut asked = confinement();
    asked.uid = None;
    asked.env = BTreeMap::from([("MODEL".to_owned(), "a=b".to_owned())]);
    let (in_force, (found, block)) = confined(&asked, || {
        let found: Vec<_> = std::env::vars().collect();
        let block = fs::read("/proc/self/environ").unwrap_or_default();
        (found, block.into_iter().filter(|it| *it != 0).count())
    });
    assert_eq!(found, [("MODEL".to_owned(), "a=b".to_owned())]);
    assert_eq!((block, in_force.missing), (0, Vec::new()));
}

#[test]
fn a_variable_that_no_system_can_hold_is_missing() {
    let mut asked = confinement();
    asked.env = BTreeMap::from([("A=B".to_owned(), String::new())]);
    let (in_force, ()) = confined(&asked, || ());
    assert_eq!(in_force.missing, ["environment (`A=B` cannot be set)"]);
}

/// A folder that any user may enter and write to, with a file and a neighbour.
fn grounds() -> (TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let (granted, other) = (root.path().join("granted"), root.path().join("other"));
    for folder in [&granted, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), "text").unwrap();
        fs::set_permissions(folder.join("file"), Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    }
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    (root, granted, other)
}

/// What may be done below `folder`: reading, listing, writing, creating and removing.
fn may(folder: &Path) -> [bool; 5] {
    let (file, new) = (folder.join("file"), folder.join("new"));
    let opened = File::options().append(true).open(&file);
    [
        fs::read(&file).is_ok(),
        fs::read_dir(folder).is_ok(),
        opened.is_ok(),
        fs::write(&new, "text")
            .and_then(|()| fs::write(&new, ""))
            .is_ok(),
        fs::remove_file(&new).is_ok(),
    ]
}

#[test]
fn a_grant_to_read_opens_what_it_names() {
    let (_root, granted, other) = grounds();
    let mut asked = confinement();
    asked.read = vec![granted.clone(), other.join("none")];
    let (in_force, (inside, outside)) = confined(&asked, || (may(&granted), may(&other)));
    assert_eq!(inside, [true, true, false, false, false]);
    assert_eq!(outside, [false; 5]);
    let missing = format!("{} (No such file", other.join("none").display());
    assert!(in_force.missing[0].starts_with(&missing), "{in_force:#?}");
}

#[test]
fn a_grant_of_one_file_opens_that_file() {
    let (_root, granted, _) = grounds();
    let mut asked = confinement();
    asked.read = vec![granted.join("file")];
    let (_, inside) = confined(&asked, || may(&granted));
    assert_eq!(inside, [true, false, false, false, false]);
}

#[test]
fn a_grant_to_write_opens_what_it_names() {
    let (_root, granted, other) = grounds();
    let mut asked = confinement();
    asked.write = vec![granted.clone()];
    let (_, (inside, outside, runs)) = confined(&asked, || {
        let script = granted.join("script");
        fs::write(&script, "#!/bin/true\n").unwrap();
        let mode = fs::set_permissions(&script, Permissions::from_mode(0o755)).is_ok();
        fs::remove_file(&script).unwrap();
        (may(&granted), may(&other), mode)
    });
    assert_eq!(inside, [true; 5]);
    assert_eq!(outside, [false; 5]);
    assert_eq!(runs, asked.uid.is_some(), "the mode of its own file");
}

#[test]
fn what_a_file_is_cannot_be_changed_past_landlock() {
    let (_root, granted, _) = grounds();
    let mut asked = confinement();
    // With the daemon's user, who owns the file.
    asked.uid = None;
    asked.read = vec![granted.clone()];
    let (_, (by_path, opened)) = confined(&asked, || {
        let file = granted.join("file");
        let mode = Permissions::from_mode(0o600);
        let opened = File::open(&file).unwrap().set_permissions(mode.clone());
        (fs::set_permissions(&file, mode).is_ok(), opened.is_ok())
    });
    assert!(!by_path && !opened);
}

#[test]
fn a_grant_of_the_network_opens_ip_and_its_files() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Confinement {
        network: true,
        ..confinement()
    };
    let (in_force, (connected, resolved, unix, passwd, attempts)) = confined(&asked, || {
        let connected = TcpStream::connect(address).map_err(|it| it.to_string());
        let hosts = fs::metadata("/etc/hosts").is_err() || fs::read("/etc/hosts").is_ok();
        let unix = std::os::unix::net::UnixDatagram::unbound().is_ok();
        let passwd = fs::read("/etc/passwd").is_ok();
        let attempts = prove(&asked, parent());
        (connected.map(|_| ()), hosts, unix, passwd, attempts)
    });
    assert_eq!(connected, Ok(()));
    assert!(resolved && !unix && !passwd);
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}");
    assert_eq!(in_force.missing, [""; 0]);
}

#[test]
fn a_user_that_is_not_root_cannot_become_another() {
    let asked = Confinement {
        uid: Some(UID),
        ..confinement()
    };
    let (in_force, attempts) = in_child(|| {
        if geteuid().is_root() {
            // SAFETY: a number is all that it reads, and the process has one thread.
            assert_eq!(unsafe { libc::setuid(UID + 2) }, 0);
        }
        let library = File::open("/dev/null").unwrap();
        (confine(&asked, library.as_fd()), prove(&asked, parent()))
    });
    let missing = ["uid 61184 (only root can become another user)"];
    assert_eq!(in_force.missing, missing);
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}");
}

#[test]
fn root_without_a_user_keeps_no_capability() {
    let asked = Confinement {
        uid: None,
        ..confinement()
    };
    let (in_force, (status, attempts)) = confined(&asked, || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        (status, prove(&asked, parent()))
    });
    let capabilities = status.lines().filter(|it| it.starts_with("Cap"));
    let is_none = |it: &str| it.ends_with("0000000000000000");
    if geteuid().is_root() {
        assert!(capabilities.clone().all(is_none), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?} {in_force:#?}");
}

#[test]
fn other_users_of_the_machine_see_no_core_and_it_dies_with_the_daemon() {
    use rustix::process::{
        DumpableBehavior, Signal, dumpable_behavior, parent_process_death_signal,
    };
    let (_, ties) = confined(&confinement(), || {
        let dumpable = dumpable_behavior().unwrap() == DumpableBehavior::NotDumpable;
        let signal = parent_process_death_signal().unwrap() == Some(Signal::KILL);
        let umask = rustix::process::umask(rustix::fs::Mode::empty()).as_raw_mode();
        (dumpable, signal, umask, std::env::current_dir().unwrap())
    });
    assert_eq!(ties, (true, true, 0o077, PathBuf::from("/")));
}

#[test]
fn it_cannot_undo_its_ties() {
    use rustix::process::{
        DumpableBehavior, set_dumpable_behavior, set_parent_process_death_signal,
    };
    let (_, undone) = confined(&confinement(), || {
        let alone = set_parent_process_death_signal(None).is_ok();
        (
            alone,
            set_dumpable_behavior(DumpableBehavior::Dumpable).is_ok(),
        )
    });
    assert_eq!(undone, (false, false));
}

#[test]
fn what_it_was_given_stays_usable() {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.write_all(b"ping").unwrap();
    let (_, echoed) = confined(&confinement(), || {
        let mut text = [0; 4];
        (&theirs).read_exact(&mut text).is_ok() && (&theirs).write_all(&text).is_ok()
    });
    let mut text = [0; 4];
    ours.read_exact(&mut text).unwrap();
    assert!(echoed && &text == b"ping");
}

#[test]
fn what_a_c_library_needs_works() {
    let (_, works) = confined(&confinement(), || {
        let random = fs::read("/proc/self/status").is_ok();
        let null = fs::write("/dev/null", "text").is_ok();
        let urandom = File::open("/dev/urandom").is_ok();
        let cores = thread::available_parallelism().is_ok();
        let library = fs::read_dir("/usr/lib").is_ok();
        [random, null, urandom, cores, library]
    });
    assert_eq!(works, [true; 5]);
}
