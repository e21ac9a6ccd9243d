//! Somebody between a client and a daemon, who can keep answers back and be led elsewhere. Knows of HTTP as much as
//! the length of a body.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Passes requests on; its threads end with the test.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    target: Option<SocketAddr>,
    /// Raised when the target changes: what was held for an earlier one is never said.
    turn: usize,
    /// How many answers may still pass.
    left: usize,
    held: usize,
}

impl Relay {
    /// One that leads to `target`.
    pub fn to(target: SocketAddr) -> Self {
        Self::new(Some(target))
    }

    /// One that hangs up.
    pub fn to_nobody() -> Self {
        Self::new(None)
    }

    fn new(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            target,
            turn: 0,
            left: usize::MAX,
            held: 0,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let relay = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, relay) = (client.unwrap(), Arc::clone(&relay));
                thread::spawn(move || relay.serve(&client));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets so many answers pass, and keeps those behind them back.
    pub fn hold_after(&self, count: usize) {
        self.shared.state().left = count;
    }

    /// Waits until so many answers are kept back: their requests were carried out.
    pub fn wait_for_held(&self, count: usize) {
        let state = self.shared.state();
        let fewer = |state: &mut State| state.held < count;
        let waited = self.shared.changed.wait_while(state, fewer);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Leads elsewhere from now on, and hangs up on those whose answers were kept back.
    pub fn lead_to(&self, target: SocketAddr) {
        let mut state = self.shared.state();
        state.target = Some(target);
        state.turn += 1;
        state.left = usize::MAX;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request after the other, until somebody hangs up.
    fn serve(&self, client: &TcpStream) {
        let mut requests = BufReader::new(client);
        while let Some(request) = message(&mut requests) {
            let (target, turn) = {
                let state = self.state();
                (state.target, state.turn)
            };
            let Some(answer) = target.and_then(|target| ask(target, &request)) else {
                return;
            };
            if !self.may_pass(turn) || { client }.write_all(&answer).is_err() {
                return;
            }
        }
    }

    /// Whether an answer may be said, once that is known.
    fn may_pass(&self, turn: usize) -> bool {
        let mut state = self.state();
        if state.turn == turn && state.left > 0 {
            state.left -= 1;
            return true;
        }
        state.held += 1;
        self.changed.notify_all();
        let same = |state: &mut State| state.turn == turn;
        let waited = self.changed.wait_while(state, same);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        false
    }
}

fn ask(target: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut daemon = TcpStream::connect(target).ok()?;
    daemon.write_all(request).ok()?;
    message(&mut BufReader::new(daemon))
}

/// A head and the body whose length it tells; none where somebody hung up.
fn message(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        match stream.read_until(b'\n', &mut message) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
    }
    let head = String::from_utf8_lossy(&message).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    let read = stream.take(length).read_to_end(&mut message).ok()?;
    (read as u64 == length).then_some(message)
}
