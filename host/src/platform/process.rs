//! Worker processes: started, watched, ended and reaped. Knows nothing of what they do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

use super::channel::{Channel, Pending};
use super::confine::Confinement;
use super::portable;
use super::side::Side;

/// The argument after which the host's own binary is a worker.
pub const WORKER: &str = "worker";

/// The file of this very program, even if it was replaced since, where the system has a way to it.
///
/// # Errors
/// When the system cannot tell.
pub fn own_binary() -> io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    let path = Ok(PathBuf::from(super::linux::process::SELF));
    #[cfg(not(target_os = "linux"))]
    let path = portable::process::own_binary();
    path
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Of this signal.
    Signal(i32),
    /// Of the system, because its group had no memory left, or the machine.
    OutOfMemory,
}

/// Starts worker processes, each of which dies with this process.
#[derive(Clone, Debug)]
pub struct Spawner(SpawnerInner);

#[derive(Clone, Debug)]
enum SpawnerInner {
    #[cfg(target_os = "linux")]
    Linux(super::linux::process::Spawner),
    Portable(Side),
}

/// A process that was started, and has said nothing yet.
#[derive(Debug)]
pub struct Spawned {
    /// The process.
    pub process: Arc<Process>,
    /// The way to talk with it.
    pub channel: Channel,
    /// What it writes to its standard output and error.
    pub output: Output,
}

impl Spawner {
    /// A spawner of workers for `side`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(side: &Side) -> io::Result<Self> {
        Ok(Self(match side {
            #[cfg(target_os = "linux")]
            Side::Linux => SpawnerInner::Linux(super::linux::process::Spawner::start()?),
            Side::Portable(_) => SpawnerInner::Portable(side.clone()),
        }))
    }

    /// Why workers have no control group each, which would limit them as a whole; nothing where they have.
    pub fn ungrouped(&self) -> Option<&str> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            SpawnerInner::Linux(spawner) => spawner.ungrouped(),
            SpawnerInner::Portable(_) => Some("the platform `portable` has none"),
        }
    }

    /// Starts a worker.
    ///
    /// # Errors
    /// When the system has no process or descriptor left.
    pub async fn spawn(&self) -> io::Result<Spawned> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            SpawnerInner::Linux(spawner) => {
                let (pending, handle) = Pending::new(&Side::Linux)?;
                let (process, output) = spawner.spawn(handle).await?;
                Ok(Spawned {
                    process: Arc::new(Process(ProcessInner::Linux(process))),
                    channel: pending.taken().await?,
                    output: Output(OutputInner::Linux(Arc::new(output))),
                })
            }
            SpawnerInner::Portable(side) => {
                let (pending, handle) = Pending::new(side)?;
                let (process, output) = portable::process::spawn(&handle, side.folder()).await?;
                let process = Arc::new(Process(ProcessInner::Portable(Box::new(process))));
                let channel = tokio::select! {
                    channel = pending.taken() => channel?,
                    exit = process.ended() => return Err(ended_early(exit)),
                };
                let output = Output(OutputInner::Portable(output));
                Ok(Spawned {
                    process,
                    channel,
                    output,
                })
            }
        }
    }
}

fn ended_early(exit: Exit) -> io::Error {
    io::Error::other(format!("it ended before it said anything: {exit:?}"))
}

/// A worker process. Killed with its drop; whoever has it must wait for its end, so that the system
/// can forget it.
pub struct Process(ProcessInner);

enum ProcessInner {
    #[cfg(target_os = "linux")]
    Linux(super::linux::process::Process),
    // The larger by far.
    Portable(Box<portable::process::Process>),
}

impl Process {
    /// Its number.
    pub fn id(&self) -> u32 {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ProcessInner::Linux(process) => process.id(),
            ProcessInner::Portable(process) => process.id(),
        }
    }

    /// Limits it together with all that it will start, where it has a control group: to what `confinement`
    /// says, and `shared` bytes besides, of memory that it fills for the host.
    ///
    /// # Errors
    /// When the system refuses a limit.
    pub fn limit(&self, confinement: &Confinement, shared: u64) -> io::Result<()> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ProcessInner::Linux(process) => {
                process.limit(confinement.memory, shared, confinement.tasks)
            }
            ProcessInner::Portable(_) => {
                let _ = (confinement, shared);
                Ok(())
            }
        }
    }

    /// Ends what it has left behind, and gives back what the system held for it; for after its end.
    pub async fn bury(&self) {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ProcessInner::Linux(process) => process.bury().await,
            ProcessInner::Portable(_) => {}
        }
    }

    /// Ends it at once, with all that it has started where it has a control group. Without effect if it has ended.
    pub fn kill(&self) {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ProcessInner::Linux(process) => process.kill(),
            ProcessInner::Portable(process) => process.kill(),
        }
    }

    /// The bytes of memory that it shares with nobody; nothing where the system does not tell.
    pub fn private_memory(&self) -> Option<u64> {
        super::gauge::private_memory(self.id())
    }

    /// Waits for its end. Any number may wait, at any time.
    pub async fn ended(&self) -> Exit {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ProcessInner::Linux(process) => process.ended().await,
            ProcessInner::Portable(process) => process.ended().await,
        }
    }

    /// How it has ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ProcessInner::Linux(process) => process.exit(),
            ProcessInner::Portable(process) => process.exit(),
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.id()).finish()
    }
}

/// What a process writes to its standard output and error, as one stream.
#[derive(Debug)]
pub struct Output(OutputInner);

#[derive(Debug)]
enum OutputInner {
    /// Both write into one pipe.
    #[cfg(target_os = "linux")]
    Linux(Arc<tokio::net::unix::pipe::Receiver>),
    /// A pipe each, read in turn.
    Portable(portable::process::Output),
}

impl Output {
    /// Waits until there is something. Gives the bytes that were read into `buffer`, 0 at the end;
    /// nothing where what is there is to be read by [`Peek`].
    ///
    /// # Errors
    /// When the pipe breaks.
    pub async fn ready(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            OutputInner::Linux(pipe) => pipe.readable().await.map(|()| None),
            OutputInner::Portable(output) => output.read(buffer).await.map(Some),
        }
    }

    /// A second way to it.
    pub fn peek(&self) -> Peek {
        match &self.0 {
            #[cfg(target_os = "linux")]
            OutputInner::Linux(pipe) => Peek(Some(Arc::clone(pipe))),
            OutputInner::Portable(_) => Peek::default(),
        }
    }
}

/// A way to read what is there without waiting, beside somebody who waits; where the side has one.
#[derive(Debug, Default)]
pub struct Peek(
    #[cfg(target_os = "linux")] Option<Arc<tokio::net::unix::pipe::Receiver>>,
    #[cfg(not(target_os = "linux"))] Option<std::convert::Infallible>,
);

impl Peek {
    /// Whether there is no such way.
    pub fn is_blind(&self) -> bool {
        self.0.is_none()
    }

    /// Reads what the runtime knows to be there, 0 bytes at the end: for whoever was told that there is something.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing, or no way.
    #[cfg(target_os = "linux")]
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let pipe = self.0.as_ref().ok_or(io::ErrorKind::WouldBlock)?;
        pipe.try_read(buffer)
    }

    /// Reads what is there at this moment, 0 bytes at the end. The runtime, when it is busy, hears of it only later.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing, or no way.
    #[cfg(target_os = "linux")]
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let pipe = self.0.as_ref().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(rustix::io::read(pipe, buffer)?)
    }

    /// There is no way.
    ///
    /// # Errors
    /// `WouldBlock`.
    #[cfg(not(target_os = "linux"))]
    pub fn try_read(&self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// There is no way.
    ///
    /// # Errors
    /// `WouldBlock`.
    #[cfg(not(target_os = "linux"))]
    pub fn read_now(&self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
