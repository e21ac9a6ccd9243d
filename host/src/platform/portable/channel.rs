//! Channels as connections over loopback, which every system has: a frame goes behind its length.
//!
//! A connection counts only if it begins with the token that the worker was given; a pipe would need
//! no token, but a child process has no more pipes than its standard three, everywhere.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use uuid::Uuid;

use crate::platform::channel::MAX_FRAME;
use crate::platform::handle::{Handle, foreign};

/// What a packet has besides its frame: lengths, and the names that go along.
const OVERHEAD: usize = 256 << 10;

/// How long a stranger may take to show that he is one.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(2);

const TOKEN: usize = 32;

/// A frame and what goes along.
#[derive(Serialize, Deserialize)]
struct Packet<'a> {
    names: Vec<String>,
    frame: &'a [u8],
}

/// A place where the worker will connect.
#[derive(Debug)]
pub(in crate::platform) struct Pending {
    listener: TcpListener,
    token: [u8; TOKEN],
}

impl Pending {
    pub(in crate::platform) fn new() -> io::Result<(Self, String)> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let text = Uuid::new_v4().simple().to_string();
        let mut token = [0; TOKEN];
        token.copy_from_slice(text.as_bytes());
        let address = format!("{} {text}", listener.local_addr()?);
        Ok((Self { listener, token }, address))
    }

    pub(in crate::platform) async fn taken(self) -> io::Result<Channel> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let mut token = [0; TOKEN];
            let shown = tokio::time::timeout(TOKEN_TIMEOUT, stream.read_exact(&mut token)).await;
            // Anybody on this machine can connect; whoever does not know the token is hung up on.
            if matches!(shown, Ok(Ok(_))) && token == self.token {
                stream.set_nodelay(true)?;
                return Ok(Channel(Framed::new(stream, codec())));
            }
        }
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME + OVERHEAD)
        .new_codec()
}

/// The host's end.
#[derive(Debug)]
pub(in crate::platform) struct Channel(Framed<TcpStream, LengthDelimitedCodec>);

impl Channel {
    pub(in crate::platform) async fn send(
        &mut self,
        frame: &[u8],
        handles: &[Handle],
    ) -> io::Result<()> {
        let names = handles.iter().map(|handle| match handle {
            Handle::Name(name) => Ok(name.clone()),
            #[cfg(unix)]
            Handle::Descriptor(_) => Err(foreign()),
        });
        let names = names.collect::<io::Result<_>>()?;
        let packet = postcard::to_stdvec(&Packet { names, frame }).map_err(io::Error::other)?;
        self.0.send(Bytes::from(packet)).await
    }

    pub(in crate::platform) async fn recv(
        &mut self,
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        closed_or(self.0.next().await, buffer)
    }

    pub(in crate::platform) fn try_recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.next().now_or_never() {
            Some(next) => closed_or(next, buffer),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

fn closed_or(next: Option<io::Result<BytesMut>>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let packet = match next {
        None => return Ok(None),
        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        Some(packet) => packet?,
    };
    unpack(&packet, buffer).map(|(length, _)| Some(length))
}

fn unpack(packet: &[u8], buffer: &mut [u8]) -> io::Result<(usize, Vec<String>)> {
    let invalid = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
    let packet: Packet<'_> = postcard::from_bytes(packet)
        .map_err(|error| invalid(format!("a packet that is none: {error}")))?;
    let length = packet.frame.len();
    let place = buffer.get_mut(..length);
    let place = place.ok_or_else(|| invalid("a frame is over the limit".to_owned()))?;
    place.copy_from_slice(packet.frame);
    Ok((length, packet.names))
}

/// The worker's end.
#[derive(Debug)]
pub(in crate::platform) struct WorkerChannel {
    reader: StdStream,
    // Whole packets only, whichever thread sends.
    writer: Mutex<StdStream>,
}

impl WorkerChannel {
    pub(in crate::platform) fn connect(address: &str) -> io::Result<Self> {
        let (address, token) = address.split_once(' ').ok_or_else(foreign)?;
        let address: SocketAddr = address.parse().map_err(|_| foreign())?;
        let mut reader = StdStream::connect(address)?;
        reader.set_nodelay(true)?;
        reader.write_all(token.as_bytes())?;
        let writer = Mutex::new(reader.try_clone()?);
        Ok(Self { reader, writer })
    }

    pub(in crate::platform) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let names = Vec::new();
        let mut packet = vec![0; 4];
        packet = postcard::to_extend(&Packet { names, frame }, packet).map_err(io::Error::other)?;
        let length = u32::try_from(packet.len() - 4).map_err(io::Error::other)?;
        packet[..4].copy_from_slice(&length.to_be_bytes());
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(&packet)
    }

    pub(in crate::platform) fn recv(
        &self,
        buffer: &mut [u8],
    ) -> io::Result<Option<(usize, Vec<Handle>)>> {
        let mut length = [0; 4];
        match (&self.reader).read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME + OVERHEAD {
            return Err(foreign());
        }
        let mut packet = vec![0; length];
        (&self.reader).read_exact(&mut packet)?;
        let (length, names) = unpack(&packet, buffer)?;
        let handles = names.into_iter().map(Handle::Name).collect();
        Ok(Some((length, handles)))
    }
}
