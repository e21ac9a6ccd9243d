//! Tries from inside what a confined worker must not be able to do. An attempt that succeeds is
//! undone at once: this runs unconfined too, to show that the attempts are real.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getpid, getrlimit, getuid, setrlimit};

use crate::platform::{Attempt, Confinement};

use raw::{call, mapping, number};

mod raw;

/// Ok tells what was possible, Err what the system said against it.
type Tried = io::Result<String>;

/// Files that anybody may read, and that tell of the machine.
const SECRETS: &[&str] = &["/etc/passwd", "/proc/self/mountinfo", "/proc/self/net/dev"];

pub(in crate::platform) fn prove(confinement: &Confinement, daemon: i32) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let mut attempt = |name: &str, tried: Tried| attempts.push(judge(name, tried));
    if confinement.uid.is_some() {
        attempt("be root", be_root());
    }
    attempt("raise the memory limit", raise_limit());
    if confinement.sandbox || confinement.uid.is_some() {
        attempt("attach to the daemon", raw::attach(daemon));
        attempt("read the daemon's memory", read_memory(daemon));
    }
    if confinement.sandbox {
        files(confinement, &mut attempt);
        if !confinement.network {
            network(&mut attempt);
        }
        processes(daemon, &mut attempt);
        memory(&mut attempt);
    }
    attempts
}

fn judge(name: &str, tried: Tried) -> Attempt {
    Attempt {
        name: name.to_owned(),
        held: tried.is_err(),
        detail: tried.unwrap_or_else(|error| error.to_string()),
    }
}

fn files(confinement: &Confinement, attempt: &mut impl FnMut(&str, Tried)) {
    for secret in SECRETS.iter().map(Path::new) {
        if !covers(&confinement.read, secret) && !covers(&confinement.write, secret) {
            let tried = File::open(secret).map(|_| "it opened".to_owned());
            attempt(&format!("read {}", secret.display()), tried);
        }
    }
    for folder in ["/tmp", "/var/tmp"].map(Path::new) {
        if !covers(&confinement.write, folder) {
            attempt(&format!("write in {}", folder.display()), write_in(folder));
        }
    }
}

fn covers(granted: &[PathBuf], path: &Path) -> bool {
    granted.iter().any(|it| path.starts_with(it))
}

/// A folder that is not there cannot be written either.
fn write_in(folder: &Path) -> Tried {
    let path = folder.join(format!(
        ".bulkhead-proof-{}",
        getpid().as_raw_nonzero().get()
    ));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok("a file was made, and removed".to_owned())
}

fn network(attempt: &mut impl FnMut(&str, Tried)) {
    attempt("connect over TCP", connect());
    let bound = UdpSocket::bind("127.0.0.1:0").map(|_| "a socket was bound".to_owned());
    attempt("use UDP", bound);
}

/// That nobody listens is an answer of the network, so it was reached.
fn connect() -> Tried {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    match TcpStream::connect_timeout(&nobody, Duration::from_secs(1)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Err(error) => Ok(format!("the network answered: {error}")),
        Ok(_) => Ok("it was connected".to_owned()),
    }
}

fn processes(daemon: i32, attempt: &mut impl FnMut(&str, Tried)) {
    attempt("fork", raw::fork());
    attempt("execute a program", raw::execute());
    let nothing = [number(daemon), 0, 0];
    let signalled = call("it may be signalled", libc::SYS_kill, nothing);
    attempt("signal the daemon", signalled);
    attempt("change the daemon's priority", raw::reprioritize(daemon));
    attempt("use io_uring", raw::io_uring());
    // Without a flag it changes nothing, and is refused all the same.
    attempt(
        "change namespaces",
        call("it may", libc::SYS_unshare, [0, 0, 0]),
    );
    #[cfg(target_arch = "x86_64")]
    attempt("call the x32 table", raw::x32());
}

fn memory(attempt: &mut impl FnMut(&str, Tried)) {
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    attempt("share memory without a file", mapping(shared, None));
    let growing = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN;
    attempt("map memory that grows down", mapping(growing, None));
    attempt("enlarge a mapping", raw::enlarge());
    let zero = OpenOptions::new().read(true).write(true).open("/dev/zero");
    let zero = zero.and_then(|it| mapping(libc::MAP_SHARED, Some(&it)));
    attempt("share memory of /dev/zero", zero);
    attempt("make a file of memory", raw::memory_file());
    attempt("use System V shared memory", raw::system_v());
}

fn be_root() -> Tried {
    if getuid().is_root() {
        return Ok("it is root".to_owned());
    }
    call("it became root", libc::SYS_setuid, [0; 3])
}

/// One page more, and back.
fn raise_limit() -> Tried {
    let before = getrlimit(Resource::Data);
    let Some(ceiling) = before.maximum else {
        return Ok("there is no limit".to_owned());
    };
    let maximum = Some(ceiling.saturating_add(4096));
    setrlimit(Resource::Data, Rlimit { maximum, ..before })?;
    setrlimit(Resource::Data, before)?;
    Ok("it was raised, and lowered again".to_owned())
}

fn read_memory(daemon: i32) -> Tried {
    File::open(format!("/proc/{daemon}/mem")).map(|_| "it opened".to_owned())
}
