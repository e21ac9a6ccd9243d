//! How a host and its worker talk: whole frames in order, and handles with them. The host's end
//! waits as a future, the worker's blocks its thread. Knows nothing of what a frame says.

use std::io;

use super::handle::Handle;
use super::portable;
use super::side::Side;

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 64 << 10;

/// The most handles with one frame.
pub const MAX_HANDLES: usize = 160;

/// The host's end.
#[derive(Debug)]
pub struct Channel(Inner);

#[derive(Debug)]
enum Inner {
    #[cfg(target_os = "linux")]
    Linux(super::linux::channel::Channel),
    Portable(portable::channel::Channel),
}

/// The host's end before the worker has taken its own.
#[derive(Debug)]
pub struct Pending(PendingInner);

#[derive(Debug)]
enum PendingInner {
    #[cfg(target_os = "linux")]
    Linux(super::linux::channel::Channel),
    Portable(portable::channel::Pending),
}

impl Pending {
    /// A new channel, and the way to its other end.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new(side: &Side) -> io::Result<(Self, Handle)> {
        match side {
            #[cfg(target_os = "linux")]
            Side::Linux => {
                let (ours, theirs) = super::linux::channel::pair()?;
                let theirs = Handle::Descriptor(theirs);
                Ok((Self(PendingInner::Linux(ours)), theirs))
            }
            Side::Portable(_) => {
                let (ours, theirs) = portable::channel::Pending::new()?;
                Ok((Self(PendingInner::Portable(ours)), Handle::Name(theirs)))
            }
        }
    }

    /// Waits until the worker has taken its end.
    ///
    /// # Errors
    /// When the system fails to.
    pub async fn taken(self) -> io::Result<Channel> {
        match self.0 {
            #[cfg(target_os = "linux")]
            PendingInner::Linux(channel) => Ok(Channel(Inner::Linux(channel))),
            PendingInner::Portable(pending) => Ok(Channel(Inner::Portable(pending.taken().await?))),
        }
    }
}

impl Channel {
    /// Sends one frame and what goes along.
    ///
    /// # Errors
    /// When the other end is closed.
    pub async fn send(&mut self, frame: &[u8], handles: &[Handle]) -> io::Result<()> {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            Inner::Linux(channel) => channel.send(frame, handles).await,
            Inner::Portable(channel) => channel.send(frame, handles).await,
        }
    }

    /// Waits for a frame, and puts it into `buffer`, which must have room for [`MAX_FRAME`] bytes;
    /// nothing once the other end is closed. May be given up at any time without losing a frame.
    ///
    /// # Errors
    /// When what came is no frame; `ConnectionReset` where the other end was closed before it had read
    /// all that was sent, if the side can tell.
    pub async fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            Inner::Linux(channel) => channel.recv(buffer).await,
            Inner::Portable(channel) => channel.recv(buffer).await,
        }
    }

    /// A frame that is there already: `WouldBlock` if there is none.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            Inner::Linux(channel) => channel.try_recv(buffer),
            Inner::Portable(channel) => channel.try_recv(buffer),
        }
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct WorkerChannel(WorkerInner);

#[derive(Debug)]
enum WorkerInner {
    #[cfg(target_os = "linux")]
    Linux(super::linux::channel::WorkerChannel),
    Portable(portable::channel::WorkerChannel),
}

impl WorkerChannel {
    /// Takes the end that a handle of [`Pending::new`] is the way to.
    ///
    /// # Errors
    /// When the host is gone.
    pub fn take(handle: Handle) -> io::Result<Self> {
        match handle {
            #[cfg(target_os = "linux")]
            Handle::Descriptor(fd) => {
                let channel = super::linux::channel::WorkerChannel::new(fd);
                Ok(Self(WorkerInner::Linux(channel)))
            }
            #[cfg(all(unix, not(target_os = "linux")))]
            Handle::Descriptor(_) => Err(super::handle::foreign()),
            Handle::Name(address) => {
                let channel = portable::channel::WorkerChannel::connect(&address)?;
                Ok(Self(WorkerInner::Portable(channel)))
            }
        }
    }

    /// Sends one frame; may be called by several threads at a time.
    ///
    /// # Errors
    /// When the host is gone.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            WorkerInner::Linux(channel) => channel.send(frame),
            WorkerInner::Portable(channel) => channel.send(frame),
        }
    }

    /// Waits for a frame, puts it into `buffer`, and gives its length and what came along; nothing
    /// once the host has closed its end. For one thread at a time.
    ///
    /// # Errors
    /// When what came is no frame.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Vec<Handle>)>> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            WorkerInner::Linux(channel) => channel.recv(buffer),
            WorkerInner::Portable(channel) => channel.recv(buffer),
        }
    }

    /// For the end of a worker, when its host has closed its end: what is left to be done.
    pub fn linger(&self) {
        match &self.0 {
            #[cfg(target_os = "linux")]
            WorkerInner::Linux(_) => {}
            WorkerInner::Portable(_) => portable::worker::linger(),
        }
    }

    /// The descriptor that a crash handler can write to, where there is one that takes whole frames.
    #[cfg(unix)]
    pub(super) fn raw_fd(&self) -> Option<std::os::fd::RawFd> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            WorkerInner::Linux(channel) => Some(channel.raw_fd()),
            WorkerInner::Portable(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides() -> Vec<Side> {
        let portable = Side::portable(std::env::temp_dir());
        Side::fast().into_iter().chain([portable]).collect()
    }

    #[tokio::test]
    async fn frames_come_whole_and_in_order_both_ways() {
        for side in sides() {
            let (pending, handle) = Pending::new(&side).unwrap();
            let worker = std::thread::spawn(move || {
                let channel = WorkerChannel::take(handle).unwrap();
                let mut buffer = vec![0; MAX_FRAME];
                while let Some((length, handles)) = channel.recv(&mut buffer).unwrap() {
                    let reply = [&buffer[..length], &[handles.len() as u8]].concat();
                    channel.send(&reply).unwrap();
                }
            });
            let mut channel = pending.taken().await.unwrap();
            let mut buffer = vec![0; MAX_FRAME];
            for size in [1, 1000, MAX_FRAME - 1] {
                let frame = vec![7; size];
                let handles = [Handle::Name("x".to_owned())];
                // Names go along only where they are what handles are.
                let handles = match side {
                    Side::Portable(_) => &handles[..],
                    #[cfg(target_os = "linux")]
                    Side::Linux => &[],
                };
                channel.send(&frame, handles).await.unwrap();
                let length = channel.recv(&mut buffer).await.unwrap().unwrap();
                assert_eq!(buffer[..size], frame);
                assert_eq!((length, buffer[size]), (size + 1, handles.len() as u8));
            }
            let none = channel.try_recv(&mut buffer).unwrap_err();
            assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
            drop(channel);
            worker.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_closed_end_is_told_as_that() {
        for side in sides() {
            let (pending, handle) = Pending::new(&side).unwrap();
            let worker = std::thread::spawn(move || drop(WorkerChannel::take(handle).unwrap()));
            let mut channel = pending.taken().await.unwrap();
            worker.join().unwrap();
            let mut buffer = vec![0; MAX_FRAME];
            assert_eq!(channel.recv(&mut buffer).await.unwrap(), None);
        }
    }
}
