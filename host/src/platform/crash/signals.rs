//! The names of signals. Knows nothing of reports.

/// A signal's number and its name.
type Named = (i32, &'static str);

/// The signals that a fault raises, or a process that gives up: those that are reported.
#[cfg(unix)]
pub(super) const FATAL: &[Named] = &[
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGSYS, "SIGSYS"),
    (libc::SIGTRAP, "SIGTRAP"),
];

/// Where there are no signals, nothing is reported by one.
#[cfg(not(unix))]
pub(super) const FATAL: &[Named] = &[];

#[cfg(unix)]
const OTHERS: &[Named] = &[
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGPIPE, "SIGPIPE"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGCHLD, "SIGCHLD"),
    (libc::SIGCONT, "SIGCONT"),
    (libc::SIGSTOP, "SIGSTOP"),
    (libc::SIGTSTP, "SIGTSTP"),
    (libc::SIGTTIN, "SIGTTIN"),
    (libc::SIGTTOU, "SIGTTOU"),
    (libc::SIGURG, "SIGURG"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGXFSZ, "SIGXFSZ"),
    (libc::SIGVTALRM, "SIGVTALRM"),
    (libc::SIGPROF, "SIGPROF"),
    (libc::SIGWINCH, "SIGWINCH"),
    (libc::SIGIO, "SIGIO"),
    #[cfg(target_os = "linux")]
    (libc::SIGPWR, "SIGPWR"),
    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    (libc::SIGSTKFLT, "SIGSTKFLT"),
];

#[cfg(not(unix))]
const OTHERS: &[Named] = &[];

/// A signal as people write it: `SIGSEGV`, `SIGRTMIN+2`, `signal 77`.
pub fn signal_name(signal: i32) -> String {
    let known = FATAL.iter().chain(OTHERS).find(|it| it.0 == signal);
    known
        .map(|it| it.1.to_owned())
        .or_else(|| real_time(signal))
        .unwrap_or_else(|| format!("signal {signal}"))
}

#[cfg(target_os = "linux")]
fn real_time(signal: i32) -> Option<String> {
    let first = libc::SIGRTMIN();
    (first..=libc::SIGRTMAX())
        .contains(&signal)
        .then(|| format!("SIGRTMIN+{}", signal - first))
}

#[cfg(not(target_os = "linux"))]
fn real_time(_: i32) -> Option<String> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn signals_are_named_as_people_write_them() {
        let first = libc::SIGRTMIN();
        for (signal, name) in [
            (libc::SIGSEGV, "SIGSEGV"),
            (libc::SIGKILL, "SIGKILL"),
            (first, "SIGRTMIN+0"),
            (first + 2, "SIGRTMIN+2"),
            (first - 1, &format!("signal {}", first - 1)),
            (77, "signal 77"),
            (0, "signal 0"),
            (i32::MIN, "signal -2147483648"),
        ] {
            assert_eq!(signal_name(signal), name);
        }
    }
}
