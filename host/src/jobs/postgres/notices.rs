//! Tells other hosts what was done, and hears what they have done, by LISTEN and NOTIFY over a connection of its own.
//! All of it is a hint: nothing is lost with a notice but time. Knows no table.
//!
//! What is told waits until its transaction is over, and goes its own way then. A transaction that told by itself
//! would hold the server's one lock for that until its bytes are on the disk, and all others would wait for it.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Error};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connect::{CONNECTING, Server};
use super::failure::text;
use crate::jobs::store::Notice;

/// How many notices wait to be told.
pub(super) const WAITING: usize = 4096;

/// How many go in one message; the server takes 8,000 bytes.
const TOGETHER: usize = 128;

/// How long to wait before another connection is tried, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How often a connection on which nothing happens is tried, and how long the server may take to answer.
const PROBE: Duration = Duration::from_secs(15);

/// Hears and tells until the store is closed.
pub(super) struct NoticesTask {
    pub(super) server: Server,
    pub(super) told: mpsc::Receiver<Notice>,
    pub(super) heard: broadcast::Sender<Notice>,
    pub(super) closing: CancellationToken,
}

impl NoticesTask {
    pub(super) async fn run(self) {
        let closing = self.closing.clone();
        closing.run_until_cancelled_owned(self.keep_on()).await;
    }

    async fn keep_on(mut self) {
        let mut pause = BACK_OFF.0;
        loop {
            let begun = Instant::now();
            let error = self.connected().await;
            tracing::warn!(error, "no notices of other hosts: connecting anew");
            if begun.elapsed() > BACK_OFF.1 {
                pause = BACK_OFF.0;
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
            // Whatever was told meanwhile was missed.
            let _ = self.heard.send(Notice::Added);
        }
    }

    /// For as long as one connection lasts; gives why it ended.
    async fn connected(&mut self) -> String {
        let (config, tls) = (&self.server.config, self.server.tls.clone());
        let connected = timeout(CONNECTING, config.connect(tls)).await;
        let (client, mut connection) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return text(&error),
            Err(_) => return "the server does not answer".to_owned(),
        };
        let (heard, own) = (self.heard.clone(), AtomicI32::new(0));
        let hearing = async {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(note)))
                        if note.process_id() != own.load(Ordering::Relaxed) =>
                    {
                        for notice in note.payload().split(' ').filter_map(read) {
                            // Nobody may want to hear it.
                            let _ = heard.send(notice);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return text(&error),
                    None => return "the server has closed it".to_owned(),
                }
            }
        };
        let (hearing, talking) = (pin!(hearing), pin!(talk(&client, &mut self.told, &own)));
        tokio::select! {
            reason = hearing => reason,
            Err(reason) = talking => reason,
        }
    }
}

/// Listens, and tells what there is to tell, until it cannot. What is told has the number of the connection on it,
/// by which we know it for our own.
async fn talk(
    client: &Client,
    told: &mut mpsc::Receiver<Notice>,
    own: &AtomicI32,
) -> Result<Infallible, String> {
    let row = answered(client.query_one("SELECT pg_backend_pid()", &[])).await?;
    let process = row.try_get(0).map_err(|error| text(&error))?;
    own.store(process, Ordering::Relaxed);
    // A hint that a loss of power takes with it is no loss: nobody waits for a disk.
    let begin = "SET synchronous_commit = off; LISTEN bulkhead_jobs";
    answered(client.batch_execute(begin)).await?;
    let mut waiting = Vec::new();
    loop {
        match timeout(PROBE, told.recv_many(&mut waiting, TOGETHER)).await {
            // Nobody will tell anything any more, but there is still something to hear.
            Ok(0) => pending().await,
            Ok(_) => {
                let message = message(&waiting);
                waiting.clear();
                let tell = "SELECT pg_notify('bulkhead_jobs', $1)";
                answered(client.execute(tell, &[&message])).await?;
            }
            Err(_) => answered(client.batch_execute("")).await?,
        }
    }
}

async fn answered<T>(step: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(PROBE, step).await {
        Ok(done) => done.map_err(|error| text(&error)),
        Err(_) => Err("the server does not answer".to_owned()),
    }
}

/// One message for all of these, each of them once.
fn message(notices: &[Notice]) -> String {
    let mut words: Vec<String> = notices.iter().map(word).collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

fn word(notice: &Notice) -> String {
    match notice {
        Notice::Added => "added".to_owned(),
        Notice::Ended(id) => format!("ended:{}", id.simple()),
        Notice::CancelAsked(id) => format!("cancel:{}", id.simple()),
    }
}

/// What a later version says may be none that we know.
fn read(word: &str) -> Option<Notice> {
    let id = |text: &str| Uuid::parse_str(text).ok();
    match word.split_once(':') {
        None => (word == "added").then_some(Notice::Added),
        Some(("ended", of)) => id(of).map(Notice::Ended),
        Some(("cancel", of)) => id(of).map(Notice::CancelAsked),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let id = Uuid::from_u128(7);
        let all = [Notice::Added, Notice::CancelAsked(id), Notice::Ended(id)];
        let told = [&all[..], &all[..]].concat();
        let heard: Vec<_> = message(&told).split(' ').filter_map(read).collect();
        assert_eq!(heard, all);
        for unknown in [
            "",
            "more",
            "ended",
            "ended:7",
            "begun:00000000000000000000000000000007",
        ] {
            assert_eq!(read(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_message_is_never_too_long() {
        let ids = (0..TOGETHER as u128).map(|id| Notice::CancelAsked(Uuid::from_u128(id)));
        assert!(message(&ids.collect::<Vec<_>>()).len() < 8000);
    }
}
