//! What the daemon under test tells of what happens: a thread reads the stream, tests look at what came and wait for
//! what comes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::wait;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id, by which a stream is resumed.
    pub id: String,
    /// What happened: `serving`, or `missed` where some could not be told.
    pub kind: String,
    /// All that is said of it.
    pub data: Value,
}

impl Event {
    /// Whether it is of this kind, and of this plugin.
    pub fn is(&self, kind: &str, plugin: &str) -> bool {
        self.kind == kind && self.data["plugin"] == plugin
    }

    /// Why it happened; empty where that is not said.
    pub fn reason(&self) -> &str {
        self.data["reason"].as_str().unwrap_or_default()
    }
}

/// A stream of events, closed with its drop.
pub struct Events {
    connection: TcpStream,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    is_over: bool,
}

impl Daemon {
    /// All that has happened since its start, and all that will.
    pub fn events(&self) -> Events {
        self.events_with("last_event_id=0")
    }

    /// The stream that this query asks for, with the daemon listening: what happens after the return is not missed.
    pub fn events_with(&self, query: &str) -> Events {
        Events::open(self.connect(), query)
    }
}

impl Events {
    fn open(mut connection: TcpStream, query: &str) -> Self {
        // To an older protocol a stream comes as it is, and not in chunks.
        let head = format!("GET /v1/events?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(connection.try_clone().unwrap());
        let status = block(&mut stream).unwrap_or_default();
        assert!(status.starts_with("HTTP/1.0 200 "), "{status}");
        let greeting = block(&mut stream).unwrap_or_default();
        assert!(greeting.starts_with("retry: "), "{greeting}");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let sink = Arc::clone(&heard);
        let reader = thread::spawn(move || {
            while let Some(block) = block(&mut stream) {
                lock(&sink).events.extend(parse(&block));
            }
            lock(&sink).is_over = true;
        });
        Self {
            connection,
            heard,
            reader: Some(reader),
        }
    }

    /// What has come until now, the oldest first.
    pub fn heard(&self) -> Vec<Event> {
        lock(&self.heard).events.clone()
    }

    /// The first event that is meant, which may have come already.
    ///
    /// # Panics
    /// When it does not come within 20 s, or the stream ends without it.
    pub fn wait_for(&self, is_meant: impl Fn(&Event) -> bool) -> Event {
        self.wait_past(0, is_meant)
    }

    /// The first event that is meant among those after `id`.
    ///
    /// # Panics
    /// When `id` has not come, and as [`Events::wait_for`].
    pub fn wait_after(&self, id: &str, is_meant: impl Fn(&Event) -> bool) -> Event {
        let place = lock(&self.heard).events.iter().position(|it| it.id == id);
        let place = place.unwrap_or_else(|| panic!("no event {id} among {:#?}", self.heard()));
        self.wait_past(place + 1, is_meant)
    }

    /// Waits until the daemon has ended the stream.
    pub fn wait_for_end(&self) {
        wait::until("the end of the events", || {
            lock(&self.heard).is_over.then_some(())
        });
    }

    fn wait_past(&self, seen: usize, is_meant: impl Fn(&Event) -> bool) -> Event {
        wait::until("an event", || {
            let heard = lock(&self.heard);
            let found = heard.events[seen..].iter().find(|event| is_meant(event));
            assert!(
                found.is_some() || !heard.is_over,
                "the stream ended with {:#?}",
                heard.events
            );
            found.cloned()
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // The daemon may have closed it; then the reader is at its end already.
        let _ = self.connection.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!("the events were: {:#?}", self.heard());
        }
    }
}

/// The lines up to the next empty one.
fn block(stream: &mut impl BufRead) -> Option<String> {
    let mut block = String::new();
    loop {
        let before = block.len();
        match stream.read_line(&mut block) {
            Ok(0) | Err(_) => return None,
            Ok(_) if block[before..].trim().is_empty() => return Some(block),
            Ok(_) => {}
        }
    }
}

/// The event in a block; none in one that only keeps the connection alive.
pub(crate) fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let data = serde_json::from_str(field("data: ")?);
    Some(Event {
        id: field("id: ").unwrap_or_default().to_owned(),
        kind: field("event: ").unwrap_or_default().to_owned(),
        data: data.unwrap(),
    })
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
