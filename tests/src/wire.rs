//! The way to a server, for tests: it passes bytes on both ways, until it is told to pass none, as a network does that
//! has lost them. Nobody hangs up then. Knows nothing of what the bytes say.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// A way that can be interrupted; its threads end with the test.
pub struct Wire {
    port: u16,
    valve: Arc<Valve>,
}

/// Whether bytes pass.
#[derive(Default)]
struct Valve {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Wire {
    /// One that leads to this port of this machine.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let valve = Arc::<Valve>::default();
        let shared = Arc::clone(&valve);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, valve) = (client.unwrap(), Arc::clone(&shared));
                thread::spawn(move || join(client, port, &valve));
            }
        });
        Self { port: own, valve }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes nothing from now on.
    pub fn shut(&self) {
        *lock(&self.valve) = true;
    }

    /// Passes what was kept back, and all else.
    pub fn open(&self) {
        *lock(&self.valve) = false;
        self.valve.opened.notify_all();
    }
}

impl Valve {
    fn pass(&self) {
        let waited = self.opened.wait_while(lock(self), |is_shut| *is_shut);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn lock(valve: &Valve) -> std::sync::MutexGuard<'_, bool> {
    valve.is_shut.lock().unwrap_or_else(PoisonError::into_inner)
}

fn join(client: TcpStream, port: u16, valve: &Arc<Valve>) {
    valve.pass();
    let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    let Ok(server) = server else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let shared = Arc::clone(valve);
    thread::spawn(move || pass(from, to, &shared));
    pass(server, client, valve);
}

fn pass(mut from: TcpStream, mut to: TcpStream, valve: &Valve) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        valve.pass();
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either may have hung up already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
