//! The attempts that no library offers as such.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::sync::mpsc;
use std::thread;

use libc::c_long;

use super::Tried;

/// The number of a process as an argument of a system call.
pub(super) fn number(process: i32) -> usize {
    process.cast_unsigned() as usize
}

/// A system call whose success changes nothing that lasts.
pub(super) fn call(success: &str, which: c_long, arguments: [usize; 3]) -> Tried {
    let [a, b, c] = arguments;
    // SAFETY: the callers pass numbers, and calls that take no address or a null one.
    let answer = unsafe { libc::syscall(which, a, b, c, 0_usize, 0_usize, 0_usize) };
    checked(answer).map(|_| success.to_owned())
}

fn checked(answer: c_long) -> io::Result<c_long> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

/// A child that ends at once.
pub(super) fn fork() -> Tried {
    // SAFETY: the child calls nothing but `_exit`, which may be called after a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it ends the child and nothing of the parent.
        unsafe { libc::_exit(0) };
    }
    checked(c_long::from(child))?;
    ended(child).map(|_| "a child was made".to_owned())
}

/// The exit status of a child of this process.
fn ended(child: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the address is that of a number which outlives the call.
    checked(c_long::from(unsafe {
        libc::waitpid(child, &raw mut status, 0)
    }))?;
    Ok(libc::WEXITSTATUS(status))
}

/// Without a path no program can start, but a filter refuses before the kernel misses the path.
/// Where none does, a child tries it for true: Landlock may still refuse.
pub(super) fn execute() -> Tried {
    match call("", libc::SYS_execve, [0, 0, 0]) {
        Err(error) if error.raw_os_error() != Some(libc::EFAULT) => return Err(error),
        _ => (),
    }
    let (program, arguments) = (c"/bin/true".as_ptr(), [c"true".as_ptr(), ptr::null()]);
    // SAFETY: the child calls nothing but `execve` and `_exit`, which may be called after a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the strings end with a zero, the list with a null; on failure it ends the child.
        unsafe {
            libc::execve(program, arguments.as_ptr(), arguments[1..].as_ptr());
            libc::_exit(*libc::__errno_location());
        }
    }
    if child < 0 {
        return Ok("no filter refuses it".to_owned());
    }
    match ended(child)? {
        0 => Ok("a program ran".to_owned()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Attaches without stopping it, and detaches, for which it must be stopped for a moment.
pub(super) fn attach(process: i32) -> Tried {
    let ptrace = |request, data: usize| {
        // SAFETY: neither request reads or writes an address of ours.
        checked(unsafe { libc::ptrace(request, process, 0_usize, data) })
    };
    ptrace(libc::PTRACE_SEIZE, 0)?;
    ptrace(libc::PTRACE_INTERRUPT, 0)?;
    let mut status = 0;
    // SAFETY: the address is that of a number which outlives the call.
    checked(c_long::from(unsafe {
        libc::waitpid(process, &raw mut status, libc::__WALL)
    }))?;
    // A signal that came first is passed on: it is not ours to swallow.
    let is_ours = status >> 16 == libc::PTRACE_EVENT_STOP;
    let signal = if is_ours { 0 } else { libc::WSTOPSIG(status) };
    ptrace(libc::PTRACE_DETACH, number(signal))?;
    Ok("it was attached to, and left".to_owned())
}

/// To what it is already.
pub(super) fn reprioritize(process: i32) -> Tried {
    let which = libc::PRIO_PROCESS as usize;
    // SAFETY: two numbers, and a number is the answer: 20 less the priority, as getpriority(2) says
    // of the system call.
    let now = checked(unsafe { libc::syscall(libc::SYS_getpriority, which, number(process)) })?;
    let same = (20 - now).cast_unsigned() as usize;
    call(
        "it may be changed",
        libc::SYS_setpriority,
        [which, number(process), same],
    )
}

/// A ring, closed again.
pub(super) fn io_uring() -> Tried {
    // What the kernel answers there is 120 bytes long, and all zeros is a valid question.
    let mut parameters = [0_u64; 15];
    let setup = libc::SYS_io_uring_setup;
    // SAFETY: the address is that of an array of the length that the call reads and writes.
    let ring = checked(unsafe { libc::syscall(setup, 1_usize, parameters.as_mut_ptr()) })?;
    close(ring);
    Ok("a ring was made".to_owned())
}

/// A file without a name, closed again.
pub(super) fn memory_file() -> Tried {
    // SAFETY: the name is a string that ends with a zero.
    let file = checked(c_long::from(unsafe {
        libc::memfd_create(c"proof".as_ptr(), libc::MFD_CLOEXEC)
    }))?;
    close(file);
    Ok("a file was made".to_owned())
}

fn close(descriptor: c_long) {
    let descriptor = i32::try_from(descriptor).expect("descriptors are small numbers");
    // SAFETY: the kernel has just made it, and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
}

/// A segment, removed again.
pub(super) fn system_v() -> Tried {
    let (size, mode) = (4096, libc::IPC_CREAT | 0o600);
    // SAFETY: numbers are all that it reads.
    let segment = unsafe { libc::shmget(libc::IPC_PRIVATE, size, mode) };
    checked(c_long::from(segment))?;
    // SAFETY: removing reads no address.
    unsafe { libc::shmctl(segment, libc::IPC_RMID, ptr::null_mut()) };
    Ok("a segment was made".to_owned())
}

/// One page, unmapped again.
pub(super) fn mapping(flags: i32, file: Option<&File>) -> Tried {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let file = file.map_or(-1, AsRawFd::as_raw_fd);
    // SAFETY: a new mapping at an address of the kernel's choice, which nothing else points into.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, access, flags, file, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just mapped, and nobody else knows it.
    unsafe { libc::munmap(page, 4096) };
    Ok("it was mapped".to_owned())
}

/// By one page, and unmapped again. What it gives away is the stack of the first thread, which is no
/// place for trying while that thread runs.
pub(super) fn enlarge() -> Tried {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice, which nothing else points into.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, access, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just mapped, and nobody else knows it.
    let larger = unsafe { libc::mremap(page, 4096, 8192, libc::MREMAP_MAYMOVE) };
    if larger == libc::MAP_FAILED {
        let error = io::Error::last_os_error();
        // SAFETY: as above; it was left as it is.
        unsafe { libc::munmap(page, 4096) };
        return Err(error);
    }
    // SAFETY: as above, and the larger one took its place.
    unsafe { libc::munmap(larger, 8192) };
    Ok("it was enlarged".to_owned())
}

/// `getpid` of the second table.
#[cfg(target_arch = "x86_64")]
pub(super) fn x32() -> Tried {
    apart(|| call("it answers", 0x4000_0000 | libc::SYS_getpid, [0, 0, 0]))
}

/// Tries in a thread of its own: a filter from outside of this program, as systemd sets one, may end the thread.
fn apart(attempt: impl FnOnce() -> Tried + Send + 'static) -> Tried {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || tell.send(attempt()));
    // Not by the library's own means, which count on it to return.
    // SAFETY: it is joined once: whoever takes the number of a thread has its handle no more.
    unsafe { libc::pthread_join(thread.into_pthread_t(), ptr::null_mut()) };
    let ended = || Err(io::Error::other("whoever tries is ended"));
    told.try_recv().unwrap_or_else(|_| ended())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_ends_its_thread_is_held() {
        // SAFETY: it ends this thread and nothing else, as a filter would; what it had is leaked.
        let held = apart(|| unsafe {
            libc::syscall(libc::SYS_exit, 0);
            Ok("it went on".to_owned())
        });
        assert_eq!(held.unwrap_err().to_string(), "whoever tries is ended");
        assert_eq!(apart(|| Ok("it may".to_owned())).unwrap(), "it may");
        let refused = apart(|| Err(io::Error::from_raw_os_error(libc::EPERM)));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
