//! Processes by their descriptors: no number is ever looked up twice, so none can be mistaken.
//!
//! All are started by one thread that lives as long as this process, because a worker's
//! parent-death signal follows the thread that started it, and without a fork of this process:
//! copying the tables of its memory would take 40 ms per GiB.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::cgroup::{Group, Groups};
use crate::platform::handle::{Handle, foreign};
use crate::platform::process::{Exit, WORKER};

/// This binary, even if its file was replaced since.
pub(in crate::platform) const SELF: &str = "/proc/self/exe";

/// Orders processes from the thread that starts them.
#[derive(Clone, Debug)]
pub(in crate::platform) struct Spawner {
    orders: Sender<Order>,
    /// Where each worker is in a group of its own, or why it is not.
    groups: Result<Arc<Groups>, String>,
}

#[derive(Debug)]
struct Order {
    channel: OwnedFd,
    reply: oneshot::Sender<io::Result<Started>>,
}

/// A process as the thread gives it back: only tasks can make asynchronous what it holds.
#[derive(Debug)]
struct Started {
    child: Orphan,
    descriptor: OwnedFd,
    output: OwnedFd,
    group: Option<Group>,
}

/// A process that nobody has taken yet: ended and waited for, if nobody does.
#[derive(Debug)]
struct Orphan(Option<Child>);

impl Orphan {
    fn id(&self) -> Pid {
        let child = self.0.as_ref().expect("it is there until it is taken");
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        id.expect("the system gave it")
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Spawner {
    pub(in crate::platform) fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let builder = std::thread::Builder::new().name("spawner".to_owned());
        let groups = Groups::take();
        let theirs = groups.clone().ok();
        builder.spawn(move || carry_out(&inbox, theirs.as_deref()))?;
        Ok(Self { orders, groups })
    }

    pub(in crate::platform) fn ungrouped(&self) -> Option<&str> {
        self.groups.as_ref().err().map(String::as_str)
    }

    /// Starts a worker that has `channel` as its standard input.
    pub(in crate::platform) async fn spawn(
        &self,
        channel: Handle,
    ) -> io::Result<(Process, pipe::Receiver)> {
        let Handle::Descriptor(channel) = channel else {
            return Err(foreign());
        };
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        let order = Order { channel, reply };
        self.orders.send(order).map_err(|_| gone())?;
        let Started {
            mut child,
            descriptor,
            output,
            group,
        } = answer.await.map_err(|_| gone())??;
        let output = pipe::Receiver::from_owned_fd(output)?;
        // SAFETY: the `AsyncFd` owns the descriptor, and gives it to nobody else.
        let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        let process = Process {
            id: child.id(),
            descriptor: descriptor.map_err(|error| error.into_parts().1)?,
            group,
            reaping: Mutex::new(()),
            exit: OnceLock::new(),
        };
        // From here on it is waited for by its descriptor.
        drop(child.0.take());
        Ok((process, output))
    }
}

/// Ends when nobody can order any more.
fn carry_out(inbox: &Receiver<Order>, groups: Option<&Groups>) {
    while let Ok(Order { channel, reply }) = inbox.recv() {
        // A process that nobody takes is ended.
        let _ = reply.send(start(channel, groups));
    }
}

fn start(channel: OwnedFd, groups: Option<&Groups>) -> io::Result<Started> {
    let group = groups.map(Groups::create).transpose()?;
    let (output, write) = io::pipe()?;
    let child = Command::new(SELF)
        .arg0("bulkhead")
        .arg(WORKER)
        .env_clear()
        .stdin(channel)
        .stdout(Stdio::from(write.try_clone()?))
        .stderr(write)
        // Ctrl-C on a terminal is for the host, which lets calls end.
        .process_group(0)
        .spawn()?;
    let child = Orphan(Some(child));
    // Nobody else waits for it, so the number is still its own.
    let descriptor = pidfd_open(child.id(), PidfdFlags::empty())?;
    if let Some(group) = &group {
        // It has no plugin yet, and waits to be told of one by whoever this process is given to.
        group.adopt(child.id().as_raw_nonzero().get().unsigned_abs())?;
    }
    Ok(Started {
        child,
        descriptor,
        output: output.into(),
        group,
    })
}

/// A process by its descriptor.
#[derive(Debug)]
pub(in crate::platform) struct Process {
    id: Pid,
    descriptor: AsyncFd<OwnedFd>,
    group: Option<Group>,
    reaping: Mutex<()>,
    exit: OnceLock<Exit>,
}

impl Process {
    pub(in crate::platform) fn id(&self) -> u32 {
        self.id.as_raw_nonzero().get().unsigned_abs()
    }

    pub(in crate::platform) fn kill(&self) {
        // It may have ended already.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::KILL);
        // With all that it has started.
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    pub(in crate::platform) fn limit(
        &self,
        memory: u64,
        shared: u64,
        tasks: u64,
    ) -> io::Result<()> {
        match &self.group {
            Some(group) => group.limit(memory, shared, tasks),
            None => Ok(()),
        }
    }

    pub(in crate::platform) async fn bury(&self) {
        if let Some(group) = &self.group {
            group.bury().await;
        }
    }

    pub(in crate::platform) fn exit(&self) -> Option<Exit> {
        self.exit.get().copied()
    }

    pub(in crate::platform) async fn ended(&self) -> Exit {
        loop {
            if let Some(exit) = self.exit() {
                return exit;
            }
            let Ok(mut ready) = self.descriptor.readable().await else {
                // The runtime ends, and with it this process.
                return Exit::Signal(Signal::KILL.as_raw());
            };
            if self.reap().is_none() {
                ready.clear_ready();
            }
        }
    }

    /// Lets the system forget it, if it has ended. One does it, once.
    fn reap(&self) -> Option<Exit> {
        let _turn = self.reaping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exit) = self.exit() {
            return Some(exit);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let fd = std::os::fd::AsFd::as_fd(self.descriptor.get_ref());
        let exit = match waitid(WaitId::PidFd(fd), options) {
            Ok(None) => return None,
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => self.killed_by(signal),
                (None, None) => return None,
            },
            // Somebody else has waited for it: it is gone, and nobody can say how.
            Err(_) => Exit::Signal(Signal::KILL.as_raw()),
        };
        let _ = self.exit.set(exit);
        Some(exit)
    }

    /// The kernel's own kill for want of memory is told from others by its group's account of it.
    fn killed_by(&self, signal: i32) -> Exit {
        let is_kill = signal == Signal::KILL.as_raw();
        match &self.group {
            Some(group) if is_kill && group.lacked_memory() => Exit::OutOfMemory,
            _ => Exit::Signal(signal),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit().is_none() {
            self.kill();
            let _ = self.reap();
        }
    }
}
