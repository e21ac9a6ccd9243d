//! The ends of jobs, told to a server of the test's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Barrier, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::*;
use crate::config::{self, HostPattern, Secret, Span};
use crate::jobs::{
    Callback, CallbackEnd, Image, Kind, Priority, Record, Status, StoredError, StoredOutput,
    StoredResult, Time,
};
use crate::names::PluginName;
use double::Double;
use log::Log;
use receiver::{Answer, Heard, Receiver, status};

mod double;
mod log;
mod receiver;
mod resolving;

const KEY: [u8; 32] = [7; 32];

/// Settings that have these hosts told.
pub(super) fn settings(hosts: &[&str]) -> config::Callbacks {
    let pattern = |host: &&str| HostPattern::try_from((*host).to_owned()).unwrap();
    let secret = format!("whsec_{}", base64_simd::STANDARD.encode_to_string(KEY));
    config::Callbacks {
        hosts: hosts.iter().map(pattern).collect(),
        secret: Some(Secret::try_from(secret).unwrap()),
        ..config::Callbacks::default()
    }
}

/// A job that succeeded and whose end is to be told.
pub(super) fn ended(url: &str) -> Record {
    let at = |text: &str| -> Time { text.parse().unwrap() };
    let created_at = at("2026-11-22T10:00:00Z");
    Record {
        id: Uuid::now_v7(),
        kind: Kind::Submitted,
        owner: None,
        request_id: "r".to_owned(),
        plugin: PluginName::parse("fake").unwrap(),
        mime_type: "image/png".to_owned(),
        options: None,
        image: Image {
            sha256: None,
            bytes: 3,
        },
        priority: Priority::Normal,
        status: Status::Success,
        attempt: 2,
        max_attempts: 3,
        fence: 2,
        host: None,
        leased_until: None,
        not_before: created_at,
        deadline: None,
        cancel_asked: false,
        created_at,
        started_at: Some(created_at),
        finished_at: Some(at("2026-11-22T10:00:01.5Z")),
        generation: None,
        progress: 1.0,
        outcome: Some(Ok(StoredOutput {
            result: Some(StoredResult::Inline(Bytes::from_static(b"{}"))),
            attachments: Vec::new(),
        })),
        log: None,
        callback: Some(Callback {
            url: url.to_owned(),
            attempts: 0,
            due: Some(created_at),
            delivered_at: None,
            error: None,
        }),
    }
}

/// A job that failed, with both parts of its envelope.
pub(super) fn failed(error: &str, internal: &str) -> Record {
    let json = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    Record {
        status: Status::Failed,
        outcome: Some(Err(StoredError {
            error: json(error),
            internal: json(internal),
        })),
        ..ended("http://x/")
    }
}

/// A task that tells, its store, and whoever is told.
struct Telling {
    receiver: Receiver,
    store: Arc<Double>,
    ends: mpsc::UnboundedReceiver<CallbackEnd>,
    callbacks: Callbacks,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Telling {
    async fn start(answers: Vec<Answer>) -> Self {
        let local = config::Callbacks {
            internal: true,
            ..settings(&["127.0.0.1"])
        };
        Self::with(answers, local, 1).await
    }

    /// So many jobs that have ended.
    async fn with(answers: Vec<Answer>, settings: config::Callbacks, jobs: usize) -> Self {
        let receiver = Receiver::start(answers).await;
        let jobs = (0..jobs).map(|_| ended(&receiver.url));
        let (store, ends) = Double::new(jobs.collect());
        Self::over(receiver, store, ends, settings)
    }

    fn over(
        receiver: Receiver,
        store: Double,
        ends: mpsc::UnboundedReceiver<CallbackEnd>,
        settings: config::Callbacks,
    ) -> Self {
        let mut config = Config::built_in("/nowhere".into());
        config.jobs.callbacks = settings;
        let (store, tasks, stop) = (
            Arc::new(store),
            TaskTracker::new(),
            CancellationToken::new(),
        );
        let config = Arc::new(ArcSwap::from_pointee(config));
        let shared: SharedStore = Arc::clone(&store) as SharedStore;
        let callbacks = start(shared, config, &tasks, stop.clone());
        Self {
            receiver,
            store,
            ends,
            callbacks,
            tasks,
            stop,
        }
    }

    async fn heard(&mut self) -> Heard {
        soon(self.receiver.heard.recv()).await.unwrap()
    }

    async fn end(&mut self) -> CallbackEnd {
        soon(self.ends.recv()).await.unwrap()
    }

    /// Until the next try is due, whenever that is.
    fn skip(&self) {
        self.store.pass(TimeDelta::hours(2));
        self.callbacks.wake();
    }
}

/// What comes sooner or later, or the test fails.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, future).await.expect("in time")
}

/// The signature that the specification wants, without the library that we sign with.
fn expected_signature(heard: &Heard) -> String {
    let block = |sign: u8| {
        let mut block = [sign; 64];
        block
            .iter_mut()
            .zip(KEY)
            .for_each(|(byte, key)| *byte ^= key);
        block
    };
    let (id, time) = (
        &heard.headers["webhook-id"],
        &heard.headers["webhook-timestamp"],
    );
    let signed = [format!("{id}.{time}.").as_bytes(), &heard.body].concat();
    let inner = Sha256::digest([&block(0x36)[..], &signed].concat());
    let outer = Sha256::digest([&block(0x5c)[..], &inner].concat());
    format!("v1,{}", base64_simd::STANDARD.encode_to_string(outer))
}

#[tokio::test]
async fn it_is_told_until_it_is_heard() {
    let mut telling = Telling::start(vec![status(500), status(503), status(200)]).await;
    let (log, _guard) = Log::listen();
    let mut bodies = Vec::new();
    for failure in [Some("answered 500"), Some("answered 503"), None] {
        let heard = telling.heard().await;
        assert_eq!(heard.line, "POST /hook?a=b HTTP/1.1");
        assert_eq!(heard.headers["content-type"], "application/json");
        assert_eq!(
            heard.headers["webhook-signature"],
            expected_signature(&heard)
        );
        let second: i64 = heard.headers["webhook-timestamp"].parse().unwrap();
        assert!((Utc::now().timestamp() - second).abs() <= 60);
        let said: Value = serde_json::from_slice(&heard.body).unwrap();
        assert_eq!(said["type"], "job.ended");

        let end = telling.end().await;
        assert_eq!(said["data"]["id"], end.job.to_string());
        let (job, _) = heard.headers["webhook-id"].rsplit_once('-').unwrap();
        assert_eq!(job, end.job.to_string());
        assert_eq!(end.error.as_deref(), failure);
        assert_eq!(end.due.is_some(), failure.is_some());
        assert_eq!(end.delivered_at.is_some(), failure.is_none());
        bodies.push(heard.body);
        telling.skip();
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[0], bodies[2]);
    assert_eq!(log.lines_with("DEBUG callback delivered request=").len(), 1);
    let secret = base64_simd::STANDARD.encode_to_string(KEY);
    assert!(!log.text().contains(&secret) && !log.text().contains("webhook-signature"));
}

#[tokio::test]
async fn it_is_given_up_after_the_last_try() {
    let settings = config::Callbacks {
        internal: true,
        attempts: 2,
        ..settings(&["127.0.0.1"])
    };
    let (log, _guard) = Log::listen();
    let mut telling = Telling::with(vec![status(404)], settings, 1).await;
    assert!(telling.end().await.due.is_some());
    telling.skip();
    let end = telling.end().await;
    let lines = log.lines_with("WARN");
    let warning = format!(
        "WARN callback given up request=\"r\" job={} plugin=\"fake\" attempt=2 error=\"answered 404\"",
        end.job
    );
    assert_eq!(lines, [warning]);
    assert_eq!(log.lines_with("to be tried again").len(), 1);
    assert_eq!((end.delivered_at, end.due), (None, None));
    assert_eq!(end.error.as_deref(), Some("answered 404"));
}

#[tokio::test]
async fn who_is_gone_is_told_no_more() {
    let mut telling = Telling::start(vec![status(410)]).await;
    let end = telling.end().await;
    assert_eq!((end.delivered_at, end.due), (None, None));
    assert!(end.error.unwrap().contains("410"));
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    for code in [301, 302, 303, 307, 308] {
        let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let to = format!("location: http://{}/\r\n", elsewhere.local_addr().unwrap());
        let mut telling = Telling::start(vec![Answer::Says(code, to, String::new())]).await;
        let error = telling.end().await.error.unwrap();
        assert_eq!(
            error,
            format!("answered {code}, and redirects are not followed")
        );
        let nobody = elsewhere.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "{code}");
    }
}

#[tokio::test]
async fn who_hangs_up_or_on_is_told_again() {
    let hasty = config::Callbacks {
        internal: true,
        timeout: Span::millis(300),
        ..settings(&["127.0.0.1"])
    };
    for answer in [Answer::Hangs, Answer::Closes] {
        let mut telling = Telling::with(vec![answer, status(204)], hasty.clone(), 1).await;
        let end = telling.end().await;
        assert!(end.error.is_some() && end.due.is_some(), "{end:?}");
        telling.skip();
        assert!(telling.end().await.delivered_at.is_some());
    }
}

#[tokio::test]
async fn nobody_listens_for_ever() {
    let mut telling = Telling::start(vec![Answer::Drones]).await;
    assert!(telling.end().await.delivered_at.is_some());
}

#[tokio::test]
async fn only_so_many_are_told_at_a_time() {
    let settings = config::Callbacks {
        internal: true,
        timeout: Span::seconds(60),
        ..settings(&["127.0.0.1"])
    };
    let together = Answer::Together(Arc::new(Barrier::new(16)));
    let mut telling = Telling::with(vec![together], settings, 48).await;
    for _ in 0..48 {
        let end = telling.end().await;
        assert!(end.delivered_at.is_some(), "{end:?}");
    }
    assert_eq!(telling.receiver.most.load(Ordering::SeqCst), 16);
}

#[tokio::test]
async fn a_stop_waits_for_nobody() {
    let patient = config::Callbacks {
        internal: true,
        timeout: Span::seconds(300),
        ..settings(&["127.0.0.1"])
    };
    let mut telling = Telling::with(vec![Answer::Hangs], patient, 1).await;
    telling.heard().await;
    telling.stop.cancel();
    telling.tasks.close();
    soon(telling.tasks.wait()).await;
    assert!(telling.ends.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_waited_for() {
    let receiver = Receiver::start(vec![status(200)]).await;
    let (store, ends) = Double::new(vec![ended(&receiver.url)]);
    store.claims_fail.store(3, Ordering::SeqCst);
    store.notes_fail.store(2, Ordering::SeqCst);
    let local = config::Callbacks {
        internal: true,
        ..settings(&["127.0.0.1"])
    };
    let (log, _guard) = Log::listen();
    let mut telling = Telling::over(receiver, store, ends, local);
    assert!(telling.end().await.delivered_at.is_some());
    telling.heard().await;
    assert_eq!(log.lines_with("no callbacks are told").len(), 1);
    assert_eq!(log.lines_with("callbacks are told again").len(), 1);
    assert!(telling.receiver.heard.try_recv().is_err(), "told once");
}

#[tokio::test]
async fn only_who_may_be_told_is() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let inner = |it| config::Callbacks {
        internal: true,
        ..it
    };
    let no_secret = config::Callbacks {
        secret: None,
        ..inner(settings(&["localhost"]))
    };
    for (host, settings, part) in [
        // Its name is fine, and leads here.
        (
            "localhost",
            settings(&["localhost"]),
            "has no public address",
        ),
        (
            "127.0.0.1",
            settings(&["127.0.0.1"]),
            "is no public address",
        ),
        (
            "localhost",
            inner(settings(&["example.com"])),
            "is none of the `hosts`",
        ),
        ("localhost", inner(settings(&[])), "tells nobody"),
        ("localhost", no_secret, "no `secret`"),
    ] {
        let (store, ends) = Double::new(vec![ended(&format!("http://{host}:{port}/"))]);
        let receiver = Receiver::start(vec![status(200)]).await;
        let mut telling = Telling::over(receiver, store, ends, settings);
        let error = telling.end().await.error.unwrap();
        assert!(error.contains(part), "{error}");
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "{host}");
    }
}

#[test]
fn addresses_are_those_of_this_machine() {
    // What the tests above rely on: the name leads here.
    let mut found = std::net::ToSocketAddrs::to_socket_addrs("localhost:1").unwrap();
    assert!(found.all(|address: SocketAddr| address.ip().is_loopback()));
}
