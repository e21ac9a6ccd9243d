//! Another process at the end of a socket, which is this program run again, and the ways that ask
//! it: what isolation would cost by the book, and what none can cost less than.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use bulkhead::platform::{Channel, Handle, MAX_FRAME, Pending, Side, WorkerChannel};
use bytes::Bytes;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use tokio::runtime::Runtime;

use crate::calls::{PLACES, Way};
use crate::samples::Samples;

/// As long as the plugin's own answers are, about.
const ANSWER: [u8; 40] = [b'a'; 40];
/// The first argument of a peer.
const PEER: &str = "peer";

/// Runs this process as a peer, if it was started as one.
pub(crate) fn enter() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(PEER) {
        return false;
    }
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    match arguments.next().as_deref() {
        Some("stream") => read_all(UnixStream::from(socket)),
        Some("packets") => echo(&socket),
        _ => answer(Handle::Descriptor(socket)),
    }
    true
}

/// Reads whole bodies, each behind its length.
fn read_all(mut socket: UnixStream) {
    let mut body = vec![0; 16 << 20];
    let mut filled = 0;
    loop {
        match socket.read(&mut body[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
        let length = body.first_chunk().map(|head| u64::from_le_bytes(*head));
        if filled >= 8 && length.is_some_and(|length| filled as u64 == 8 + length) {
            socket.write_all(&ANSWER).unwrap();
            filled = 0;
        }
    }
}

fn echo(socket: &OwnedFd) {
    let mut frame = [0; 64];
    while let Ok((1.., _)) = recv(socket, &mut frame, RecvFlags::empty()) {
        send(socket, &ANSWER, SendFlags::NOSIGNAL).unwrap();
    }
}

fn answer(handle: Handle) {
    let channel = WorkerChannel::take(handle).unwrap();
    let mut frame = vec![0; MAX_FRAME];
    while let Ok(Some(_)) = channel.recv(&mut frame) {
        channel.send(&ANSWER).unwrap();
    }
}

/// A process that ends once its socket is closed.
struct Peer(Child);

impl Peer {
    fn start(kind: &str, socket: OwnedFd) -> Self {
        let mut command = Command::new("/proc/self/exe");
        let child = command.args([PEER, kind]).stdin(socket).spawn().unwrap();
        Self(child)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.wait().unwrap();
    }
}

/// What goes over the socket.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The whole body, which is copied into the system and out again.
    Stream,
    /// A frame without any body.
    Packets,
}

/// Blocking calls on a socket each, to a process each.
pub(crate) struct Blocking {
    kind: Kind,
    // The sockets come first: peers end once these are gone.
    places: Vec<(Mutex<OwnedFd>, Peer)>,
}

impl Blocking {
    pub(crate) fn new(kind: Kind) -> Self {
        let (name, socket_type) = match kind {
            Kind::Stream => ("stream", SocketType::STREAM),
            Kind::Packets => ("packets", SocketType::SEQPACKET),
        };
        let places = (0..PLACES).map(|_| {
            let flags = SocketFlags::CLOEXEC;
            let (ours, theirs) = socketpair(AddressFamily::UNIX, socket_type, flags, None).unwrap();
            (Mutex::new(ours), Peer::start(name, theirs))
        });
        let places = places.collect();
        Self { kind, places }
    }
}

impl Way for Blocking {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Stream => "blocking socket, image copied",
            Kind::Packets => "bare round trip, 40 bytes",
        }
    }

    fn run(&self, callers: usize, calls: usize, image: &Bytes) -> Samples {
        let request = match self.kind {
            Kind::Stream => [&(image.len() as u64).to_le_bytes()[..], image].concat(),
            Kind::Packets => ANSWER.to_vec(),
        };
        thread::scope(|scope| {
            let callers = self.places[..callers]
                .iter()
                .map(|(socket, _)| scope.spawn(|| ask(&socket.lock().unwrap(), calls, &request)));
            let callers: Vec<_> = callers.collect();
            Samples::join(callers.into_iter().map(|caller| caller.join().unwrap()))
        })
    }
}

fn ask(socket: &OwnedFd, calls: usize, request: &[u8]) -> Samples {
    let mut answer = [0; 64];
    let asked = (0..calls).map(|_| {
        let began = Instant::now();
        let mut rest = request;
        while !rest.is_empty() {
            rest = &rest[send(socket, rest, SendFlags::NOSIGNAL).unwrap()..];
        }
        assert_eq!(
            recv(socket, &mut answer, RecvFlags::empty()).unwrap().0,
            ANSWER.len()
        );
        began.elapsed()
    });
    asked.collect()
}

/// Round trips over the channels that workers have, by tasks: what is left when a call is taken away.
pub(crate) struct Waiting<'a> {
    runtime: &'a Runtime,
    places: Vec<(Mutex<Option<Channel>>, Peer)>,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(runtime: &'a Runtime) -> Self {
        let place = || async {
            let (pending, handle) = Pending::new(&Side::Linux).unwrap();
            let Handle::Descriptor(theirs) = handle else {
                unreachable!("this side has descriptors")
            };
            let peer = Peer::start("channel", theirs);
            (Mutex::new(Some(pending.taken().await.unwrap())), peer)
        };
        let places = (0..PLACES).map(|_| runtime.block_on(place()));
        let places = places.collect();
        Self { runtime, places }
    }
}

impl Way for Waiting<'_> {
    fn name(&self) -> &'static str {
        "async round trip, 40 bytes"
    }

    fn run(&self, callers: usize, calls: usize, _: &Bytes) -> Samples {
        let callers = self.places[..callers].iter().map(|(place, _)| {
            let mut channel = place.lock().unwrap().take().unwrap();
            let task = self.runtime.spawn(async move {
                let mut samples = Samples::default();
                let mut answer = vec![0; MAX_FRAME];
                for _ in 0..calls {
                    let began = Instant::now();
                    channel.send(&ANSWER, &[]).await.unwrap();
                    channel.recv(&mut answer).await.unwrap();
                    samples.add(began.elapsed());
                }
                (channel, samples)
            });
            (place, task)
        });
        let callers: Vec<_> = callers.collect();
        Samples::join(callers.into_iter().map(|(place, task)| {
            let (channel, samples) = self.runtime.block_on(task).unwrap();
            *place.lock().unwrap() = Some(channel);
            samples
        }))
    }
}
