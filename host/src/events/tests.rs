//! What is kept, what is said of what is not, and that nothing is lost on the way to a reader.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::ring::{BATCH, MAX_BYTES, MAX_EVENTS};
use super::{Cursor, Event, EventId, EventLog, Kind, Told};
use crate::names::{Digest, PluginName};

const BOOT: u64 = 0xab;

fn log_of(events: usize) -> EventLog {
    let log = EventLog::of_boot(BOOT);
    (0..events).for_each(|_| log.tell(Event::of(Kind::Found)));
    log
}

fn at(boot: u64, number: usize) -> Cursor {
    let number = number as u64;
    Cursor::After(EventId { boot, number })
}

/// All that a reader gets who does not wait, in one line: numbers, and `missed` before those that follow a gap.
fn read(log: &EventLog, mut cursor: Cursor) -> String {
    let mut seen = Vec::new();
    loop {
        let batch = log.after(cursor);
        assert!(batch.events.len() <= BATCH);
        seen.extend(batch.missed.then(|| "missed".to_owned()));
        seen.extend(batch.events.iter().map(|told| told.id.number.to_string()));
        if batch.events.is_empty() {
            assert_eq!(batch.next, log.end());
            return seen.join(" ");
        }
        cursor = batch.next;
    }
}

fn told(event: Event) -> Arc<Told> {
    let log = EventLog::of_boot(BOOT);
    log.tell(event);
    log.after(Cursor::Start).events.remove(0)
}

#[test]
fn every_kind_has_a_word_of_its_own() {
    let words: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(words.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
    }
    assert_eq!(Kind::parse("Serving"), None);
}

#[test]
fn an_event_says_what_it_knows_and_no_more() {
    let bare = serde_json::to_value(&*told(Event::of(Kind::HostReady))).unwrap();
    assert!(bare["time"].as_str().unwrap().ends_with('Z'), "{bare}");
    let expected = json!({ "id": "ab-1", "time": bare["time"], "kind": "host_ready" });
    assert_eq!(bare, expected);
    let whole = Event::of(Kind::Serving)
        .plugin(&PluginName::parse("echo").unwrap())
        .version(semver::Version::new(1, 2, 3))
        .generation(Digest::new([7; 32]))
        .file("libecho.so")
        .reason("it was changed")
        .detail("warm", 2);
    let whole = serde_json::to_value(&*told(whole)).unwrap();
    let expected = json!({
        "id": "ab-1", "time": whole["time"], "kind": "serving", "plugin": "echo", "version": "1.2.3",
        "generation": "070707070707", "file": "libecho.so", "reason": "it was changed",
        "details": { "warm": 2 },
    });
    assert_eq!(whole, expected);
}

#[test]
fn what_is_long_is_cut_at_a_character() {
    let long = "é".repeat(100_000);
    let event = Event::of(Kind::Held)
        .reason(&long)
        .file(&*long)
        .version(&long)
        .detail("said", &*long);
    let event = &told(event).event;
    let length = |text: &Option<String>| {
        let text = text.as_deref().unwrap();
        assert!(text.ends_with("é…"));
        text.len()
    };
    assert!((2000..=2048).contains(&length(&event.reason)));
    assert!(length(&event.file) <= 512 && length(&event.version) <= 512);
    assert_eq!(
        Value::from(event.details.clone()),
        json!({ "truncated": true })
    );
}

#[test]
fn a_reader_goes_on_where_it_stood() {
    let log = log_of(40);
    let numbers = |from: usize| {
        let numbers: Vec<_> = (from..=40).map(|number| number.to_string()).collect();
        numbers.join(" ")
    };
    let check = |cursor: Cursor, expected: &str| assert_eq!(read(&log, cursor), expected);
    check(Cursor::Start, &numbers(1));
    check(at(BOOT, 0), &numbers(1));
    check(at(BOOT, 17), &numbers(18));
    check(at(BOOT, 39), "40");
    check(at(BOOT, 40), "");
    check(log.end(), "");
    let all_anew = format!("missed {}", numbers(1));
    check(at(BOOT, 41), &all_anew);
    check(at(BOOT, usize::MAX), &all_anew);
    check(at(BOOT - 1, 17), &all_anew);
    let nothing = EventLog::of_boot(BOOT);
    assert_eq!(read(&nothing, Cursor::Start), "");
    assert_eq!(read(&nothing, at(BOOT, 0)), "");
    assert_eq!(read(&nothing, at(BOOT - 1, 3)), "missed");
}

#[test]
fn the_oldest_make_room_and_who_has_not_seen_them_is_told() {
    let log = log_of(MAX_EVENTS + 10);
    let first = |cursor| {
        let batch = log.after(cursor);
        (batch.missed, batch.events[0].id.number, batch.before)
    };
    assert_eq!(first(Cursor::Start), (false, 11, at(BOOT, 10)));
    assert_eq!(first(at(BOOT, 10)), (false, 11, at(BOOT, 10)));
    assert_eq!(first(at(BOOT, 9)), (true, 11, at(BOOT, 10)));
    assert_eq!(read(&log, Cursor::Start).split(' ').count(), MAX_EVENTS);
}

#[test]
fn what_is_kept_is_bounded_in_bytes_too() {
    let log = EventLog::of_boot(BOOT);
    let large = "x".repeat(4000);
    let name = "y".repeat(3000);
    for _ in 0..1000 {
        let event = Event::of(Kind::Rejected).reason(&large);
        log.tell(event.detail("said", &*name));
    }
    let seen = read(&log, Cursor::Start);
    let kept = seen.split(' ').count();
    assert!(
        (100..1000).contains(&kept) && kept * 5000 < MAX_BYTES,
        "{kept}"
    );
    assert!(seen.ends_with(" 1000"));
}

#[test]
fn ids_have_one_form() {
    let parse = |text: &str| text.parse::<Cursor>();
    assert_eq!(parse("0"), Ok(Cursor::Start));
    for id in [
        "ab-1",
        "19a8c7d2f10-17",
        "0-0",
        "ffffffffffffffff-18446744073709551615",
    ] {
        let Ok(Cursor::After(parsed)) = parse(id) else {
            panic!("{id} is one");
        };
        assert_eq!(parsed.to_string(), id);
    }
    let long = "x".repeat(10_000);
    for bad in [
        "",
        "-",
        "1",
        "00",
        "ab",
        "ab-",
        "-1",
        "AB-1",
        "0ab-1",
        "ab-01",
        "ab-+1",
        "+ab-1",
        "ab--1",
        "ab-1-1",
        " 0",
        "ab-1\n",
        "é-1",
        "1ffffffffffffffff-1",
        "ab-18446744073709551616",
        &long,
    ] {
        let message = parse(bad).unwrap_err().to_string();
        assert!(
            message.contains("is no id of an event: expected") && message.len() < 300,
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_wait_ends_with_news_and_not_before() {
    let log = log_of(1);
    assert!(log.more(Cursor::Start).now_or_never().is_some());
    assert!(log.more(at(BOOT - 1, 1)).now_or_never().is_some());
    let cursor = log.end();
    let mut wait = Box::pin(log.more(cursor));
    assert!(wait.as_mut().now_or_never().is_none());
    log.tell(Event::of(Kind::Found));
    wait.await;
    // What came before the wait ends it too.
    log.more(cursor).await;
    let empty = EventLog::of_boot(BOOT);
    assert!(empty.more(Cursor::Start).now_or_never().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_every_number_once_and_in_order() {
    const WRITERS: usize = 8;
    // Together as many as are kept, so that nothing may be missed however slow the reader is.
    const EACH: usize = MAX_EVENTS / WRITERS;
    let log = Arc::new(EventLog::of_boot(BOOT));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let log = Arc::clone(&log);
            let tell =
                move |turn| log.tell(Event::of(Kind::Found).detail("by", json!([writer, turn])));
            thread::spawn(move || (0..EACH).for_each(tell))
        })
        .collect();
    let (mut cursor, mut seen) = (Cursor::Start, Vec::new());
    while seen.len() < WRITERS * EACH {
        log.more(cursor).await;
        let batch = log.after(cursor);
        assert!(!batch.missed && !batch.events.is_empty());
        seen.extend(batch.events);
        cursor = batch.next;
    }
    let numbers = seen.iter().map(|told| told.id.number);
    assert!(numbers.eq(1..=(WRITERS * EACH) as u64));
    assert!(seen.is_sorted_by_key(|told| told.time));
    // Each writer's own come in its own order.
    for writer in 0..WRITERS {
        let by = seen.iter().map(|told| &told.event.details["by"]);
        let turns = by
            .filter(|by| by[0] == writer)
            .map(|by| by[1].as_u64().unwrap());
        assert!(turns.eq(0..EACH as u64));
    }
    writers.into_iter().for_each(|it| it.join().unwrap());
}

#[test]
fn an_event_is_a_line_of_the_log() {
    let lines = logged(|| {
        let log = EventLog::of_boot(BOOT);
        log.tell(Event::of(Kind::HostReady));
        let event = Event::of(Kind::RolledBack).generation(Digest::new([7; 32]));
        let event = event.plugin(&PluginName::parse("echo").unwrap());
        log.tell(event.reason("three \"crashes\"\n").detail("crashes", 3));
    });
    let expected = json!([
        {
            "level": "INFO", "target": "bulkhead::events", "event": "host_ready", "id": "ab-1",
            "message": "the host is ready",
        },
        {
            "level": "WARN", "target": "bulkhead::events", "event": "rolled_back", "id": "ab-2", "plugin": "echo",
            "generation": "070707070707", "reason": "three \"crashes\"\n", "details": "{\"crashes\":3}",
            "message": "the last good generation serves again",
        },
    ]);
    assert_eq!(lines, expected);
}

/// What `tell` puts into the log, but for the times.
fn logged(tell: impl FnOnce()) -> Value {
    let text = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&text);
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .without_time()
        .with_writer(move || Sink(Arc::clone(&sink)))
        .finish();
    tracing::subscriber::with_default(subscriber, tell);
    let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .collect()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
