//! Channels as packet sockets: the system keeps frames whole and carries descriptors with them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send,
    sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::platform::channel::MAX_HANDLES;
use crate::platform::handle::{Handle, foreign};

/// A new channel: the host's end, and a worker's.
pub(in crate::platform) fn pair() -> io::Result<(Channel, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (ours, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    // SAFETY: the `AsyncFd` owns the descriptor, and gives it to nobody else.
    let ours = unsafe { AsyncFd::register(ours) }.map_err(|error| error.into_parts().1)?;
    Ok((Channel(ours), theirs))
}

/// The host's end.
#[derive(Debug)]
pub(in crate::platform) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    pub(in crate::platform) async fn send(
        &self,
        frame: &[u8],
        handles: &[Handle],
    ) -> io::Result<()> {
        let fds = descriptors(handles)?;
        let write = Interest::WRITABLE;
        self.0
            .async_io(write, |fd| Ok(send_now(fd.as_fd(), frame, &fds)?))
            .await
    }

    pub(in crate::platform) async fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = Interest::READABLE;
        self.0
            .async_io(read, |fd| recv_now(fd.as_fd(), buffer))
            .await
    }

    pub(in crate::platform) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        recv_now(self.0.get_ref().as_fd(), buffer)
    }
}

fn descriptors(handles: &[Handle]) -> io::Result<Vec<BorrowedFd<'_>>> {
    let fds = handles.iter().map(|handle| match handle {
        Handle::Descriptor(fd) => Ok(fd.as_fd()),
        Handle::Name(_) => Err(foreign()),
    });
    fds.collect()
}

fn send_now(fd: BorrowedFd<'_>, frame: &[u8], fds: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    if fds.is_empty() {
        return send(fd, frame, SendFlags::NOSIGNAL).map(drop);
    }
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_HANDLES))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    if !along.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(rustix::io::Errno::TOOBIG);
    }
    sendmsg(fd, &[IoSlice::new(frame)], &mut along, SendFlags::NOSIGNAL).map(drop)
}

/// Descriptors that a worker sends along are dropped by the system: there is no room for them.
fn recv_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let mut nothing = RecvAncillaryBuffer::default();
    let parts = &mut [IoSliceMut::new(buffer)];
    match recvmsg(fd, parts, &mut nothing, RecvFlags::CMSG_CLOEXEC) {
        Ok(received) if received.flags.contains(ReturnFlags::TRUNC) => Err(too_long()),
        Ok(received) => Ok((received.bytes > 0).then_some(received.bytes)),
        Err(error) => Err(error.into()),
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a frame is over the limit")
}

/// The worker's end.
#[derive(Debug)]
pub(in crate::platform) struct WorkerChannel(OwnedFd);

impl WorkerChannel {
    pub(in crate::platform) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    pub(in crate::platform) fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(in crate::platform) fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::io::retry_on_intr(|| send(&self.0, frame, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    pub(in crate::platform) fn recv(
        &self,
        buffer: &mut [u8],
    ) -> io::Result<Option<(usize, Vec<Handle>)>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_HANDLES))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            let parts = &mut [IoSliceMut::new(buffer)];
            recvmsg(&self.0, parts, &mut along, RecvFlags::CMSG_CLOEXEC)
        })?;
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(too_long());
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        let messages = along.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let handles = messages.flatten().map(Handle::Descriptor).collect();
        Ok(Some((received.bytes, handles)))
    }
}
