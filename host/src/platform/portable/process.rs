//! Child processes as the standard library has them everywhere.
//!
//! A worker learns of its host's death from its standard input, which ends then.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, Notify};

use crate::platform::handle::{Handle, foreign};
use crate::platform::process::{Exit, WORKER};

/// Starts a worker, and tells it where to connect, and which folder is to go with the host.
pub(in crate::platform) async fn spawn(
    channel: &Handle,
    folder: Option<&Path>,
) -> io::Result<(Process, Output)> {
    let Handle::Name(address) = channel else {
        return Err(foreign());
    };
    let mut command = Command::new(own_binary()?);
    command
        .arg(WORKER)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    // Windows finds libraries of the system by this.
    #[cfg(windows)]
    command.envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)));
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let folder = folder.and_then(Path::to_str).unwrap_or_default();
    stdin
        .write_all(format!("{address}\n{folder}\n").as_bytes())
        .await?;
    stdin.flush().await?;
    let output = Output {
        stdout: child.stdout.take(),
        stderr: child.stderr.take(),
    };
    let process = Process {
        id: child.id().unwrap_or_default(),
        child: Mutex::new(child),
        kill: Notify::new(),
        exit: OnceLock::new(),
        _stdin: stdin,
    };
    Ok((process, output))
}

/// The file of this program, or what has taken its name since.
pub(in crate::platform) fn own_binary() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// A child process.
#[derive(Debug)]
pub(in crate::platform) struct Process {
    id: u32,
    child: Mutex<Child>,
    kill: Notify,
    exit: OnceLock<Exit>,
    // Open for as long as the host lives.
    _stdin: ChildStdin,
}

impl Process {
    pub(in crate::platform) fn id(&self) -> u32 {
        self.id
    }

    pub(in crate::platform) fn exit(&self) -> Option<Exit> {
        self.exit.get().copied()
    }

    pub(in crate::platform) fn kill(&self) {
        match self.child.try_lock() {
            // It may have ended already.
            Ok(mut child) => drop(child.start_kill()),
            // Whoever waits for its end has it, and does it.
            Err(_) => self.kill.notify_one(),
        }
    }

    pub(in crate::platform) async fn ended(&self) -> Exit {
        let mut child = self.child.lock().await;
        loop {
            if let Some(exit) = self.exit() {
                return exit;
            }
            tokio::select! {
                status = child.wait() => {
                    let _ = self.exit.set(status.map_or(Exit::Signal(9), exit));
                }
                () = self.kill.notified() => drop(child.start_kill()),
            }
        }
    }
}

#[cfg(unix)]
fn exit(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Code(status.code().unwrap_or_default()),
    }
}

#[cfg(not(unix))]
fn exit(status: ExitStatus) -> Exit {
    Exit::Code(status.code().unwrap_or_default())
}

/// Standard output and error, whichever has something.
#[derive(Debug)]
pub(in crate::platform) struct Output {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stderr = poll_one(&mut self.stderr, context, buffer);
        if stderr.is_ready() && !buffer.filled().is_empty() {
            return stderr;
        }
        let stdout = poll_one(&mut self.stdout, context, buffer);
        let ended = self.stdout.is_none() && self.stderr.is_none();
        if ended || !buffer.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        drop(stdout);
        Poll::Pending
    }
}

/// Reads from a stream until that ends.
fn poll_one<S: AsyncRead + Unpin>(
    stream: &mut Option<S>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let Some(open) = stream else {
        return Poll::Ready(Ok(()));
    };
    let before = buffer.filled().len();
    let read = Pin::new(open).poll_read(context, buffer);
    let has_ended = matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() == before;
    if has_ended || matches!(read, Poll::Ready(Err(_))) {
        *stream = None;
        return Poll::Ready(Ok(()));
    }
    read
}
