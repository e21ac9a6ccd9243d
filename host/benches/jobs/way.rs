//! One way to have jobs done: a lane, a store, so many who submit, and whether they wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::host::{Host, Lane, idle};
use crate::spent::Mark;

/// A host, and what it is called.
pub(crate) struct Kept {
    pub(crate) lane: Lane,
    pub(crate) store: &'static str,
    pub(crate) host: Arc<Host>,
}

/// A way, and what came of it so far.
pub(crate) struct Way<'a> {
    pub(crate) kept: &'a Kept,
    pub(crate) clients: usize,
    /// Whether each waits for the end of its job before it submits the next.
    pub(crate) waits: bool,
    pub(crate) rates: Vec<f64>,
    /// How long it took each client until it could go on.
    pub(crate) took: Vec<Duration>,
    pub(crate) total: Duration,
    pub(crate) writer: Duration,
}

impl<'a> Way<'a> {
    pub(crate) fn new(kept: &'a Kept, clients: usize, waits: bool) -> Self {
        Self {
            kept,
            clients,
            waits,
            rates: Vec::new(),
            took: Vec::new(),
            total: Duration::ZERO,
            writer: Duration::ZERO,
        }
    }

    /// One round: the clients begin within `turn`, and it is over when all jobs have ended.
    pub(crate) fn run(&mut self, runtime: &Runtime, turn: Duration) {
        let (mark, began) = (Mark::now(), Instant::now());
        let took = runtime.block_on(self.submit(began + turn));
        let passed = began.elapsed();
        let spent = mark.elapsed();
        self.rates.push(took.len() as f64 / passed.as_secs_f64());
        self.took.extend(took);
        self.total += spent.total;
        self.writer += spent.writer;
    }

    async fn submit(&self, until: Instant) -> Vec<Duration> {
        let waits = self.waits;
        let client = |_| {
            let host = Arc::clone(&self.kept.host);
            tokio::spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    let job = host.submit().await;
                    if waits {
                        host.done(job).await;
                    }
                    took.push(began.elapsed());
                }
                took
            })
        };
        let clients: Vec<_> = (0..self.clients).map(client).collect();
        let mut took = Vec::new();
        for client in clients {
            took.extend(client.await.unwrap());
        }
        idle(&self.kept.host.app).await;
        took
    }
}
