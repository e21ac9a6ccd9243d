//! A door whose address stays while the daemon behind it changes: bytes go both ways as they come.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Its threads end with the test.
pub(crate) struct Door {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
}

impl Door {
    /// One that leads to `target`.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let shared = Arc::clone(&target);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let target = *shared.lock().unwrap_or_else(PoisonError::into_inner);
                // Nobody there: the client is hung up on.
                if let Ok(host) = TcpStream::connect(target) {
                    join(&client, &host);
                }
            }
        });
        Self { address, target }
    }

    /// Leads elsewhere from now on.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn join(client: &TcpStream, host: &TcpStream) {
    let pass = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    };
    pass(client, host);
    pass(host, client);
}
