//! What is true of SQLite in particular: one commit for many, files that are damaged, a full disk, the plans of
//! its looks. And one look at each method.

mod files;
mod methods;
mod plans;
mod work;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::SqliteStore;
use super::command::Step;
use super::session::Session;
use crate::jobs::record::{
    Image, Lease, Priority, Status, StoredAttachment, StoredError, StoredOutput, StoredResult, Time,
};
use crate::jobs::store::{Claim, End, NewJob};
use crate::names::{Digest, PluginName};

const HOST: Uuid = Uuid::from_u128(7);

impl SqliteStore {
    /// Lets the file grow no more, as a full disk does, or lets it again.
    pub(crate) async fn set_full(&self, is_full: bool) {
        let work = move |session: &Session<'_>| {
            let sql = if is_full {
                "PRAGMA max_page_count = 1"
            } else {
                "PRAGMA max_page_count = 1000000"
            };
            session.all(sql, (), |_| Ok(()))
        };
        self.threads.write(Step::Other, work).await.unwrap();
    }
}

/// So many milliseconds after a moment that all tests share.
fn at(millis: i64) -> Time {
    DateTime::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder).unwrap()
}

fn refusal(folder: &Path) -> String {
    SqliteStore::open(folder)
        .err()
        .expect("it opens")
        .to_string()
}

fn plugin(name: &str) -> PluginName {
    PluginName::parse(name).unwrap()
}

fn digest(number: u8) -> Digest {
    Digest::new([number; 32])
}

fn new_job(name: &str) -> NewJob {
    NewJob {
        id: Uuid::now_v7(),
        owner: None,
        request_id: "request".to_owned(),
        plugin: plugin(name),
        mime_type: "image/png".to_owned(),
        options: Some("{\"a\":1}".to_owned()),
        image: Image {
            sha256: Some(digest(1)),
            bytes: 3,
        },
        data: None,
        priority: Priority::Normal,
        not_before: at(0),
        deadline: Some(Duration::from_millis(1_500)),
        max_attempts: 3,
        created_at: at(0),
        idempotency: None,
        callback_url: None,
        claim: None,
    }
}

fn claimed(name: &str) -> NewJob {
    NewJob {
        claim: Some((HOST, at(30_000))),
        ..new_job(name)
    }
}

fn claim(name: &str, most: u32, now: Time) -> Claim {
    Claim {
        host: HOST,
        plugins: vec![(plugin(name), most)],
        now,
        until: now + TimeDelta::seconds(30),
    }
}

fn output() -> StoredOutput {
    StoredOutput {
        result: Some(StoredResult::Inline(Bytes::from_static(b"{\"b\":2}"))),
        attachments: vec![StoredAttachment {
            name: "a.txt".to_owned(),
            mime_type: "text/plain".to_owned(),
            bytes: 5,
            sha256: digest(2),
        }],
    }
}

fn error(code: &str) -> StoredError {
    let raw = |text: String| RawValue::from_string(text).unwrap();
    StoredError {
        error: raw(format!("{{\"code\":\"{code}\"}}")),
        internal: raw("{}".to_owned()),
    }
}

fn success(lease: Lease, finished_at: Time) -> End {
    End {
        lease,
        status: Status::Success,
        outcome: Ok(output()),
        started_at: None,
        finished_at,
        generation: Some("0123456789ab".to_owned()),
        progress: 1.0,
        log: Some("[1]".to_owned()),
    }
}

/// A copy of a store as it would be found after the host was killed now.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["jobs.db", "jobs.db-wal"] {
        fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    copy
}
