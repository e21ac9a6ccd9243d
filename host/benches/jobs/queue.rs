//! A store full of jobs, made by another process: what it takes in memory is not to be counted.

use std::path::Path;
use std::process::Command;

use bulkhead::jobs::{Image, JobStore, NewJob, Priority, SqliteStore, Time, digest_of};
use bulkhead::names::PluginName;
use chrono::{DateTime, TimeDelta};
use uuid::{Builder, Uuid};

use crate::host::{PLUGIN, image};

/// The word that has this program make a store.
const WORD: &str = "queue-of-jobs";
/// When the first job was made, in milliseconds; each of the others a millisecond later.
const BEGAN: u64 = 1_750_000_000_000;
/// How many jobs are added at a time.
const AT_A_TIME: u32 = 1_000;
/// How many plugins there are; one of them can be called.
const PLUGINS: u32 = 10;

/// Has another process put jobs into the folder. Those that are due are all of the plugin that can be called.
pub(crate) fn make(folder: &Path, count: u32, due: bool) {
    std::fs::create_dir(folder).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.arg(WORD).arg(folder);
    command.args([count.to_string(), due.to_string()]);
    assert!(command.status().unwrap().success());
}

/// Whether this is that other process; then it has done its work.
pub(crate) fn enter(arguments: &[String]) -> bool {
    let [word, folder, count, due] = arguments else {
        return false;
    };
    if word != WORD {
        return false;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = SqliteStore::open(folder.as_ref()).unwrap();
    let (count, due) = (count.parse().unwrap(), due.parse().unwrap());
    runtime.block_on(fill(&store, count, due));
    true
}

/// The id of one of them.
pub(crate) fn id(number: u32) -> Uuid {
    let millis = BEGAN + u64::from(number);
    Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid()
}

/// The name of one of the plugins; 0 can be called.
pub(crate) fn plugin(number: u32) -> PluginName {
    let name = match number {
        0 => PLUGIN.to_owned(),
        number => format!("other-{number}"),
    };
    PluginName::parse(&name).unwrap()
}

async fn fill(store: &SqliteStore, count: u32, due: bool) {
    for first in (0..count).step_by(AT_A_TIME as usize) {
        let numbers = first..count.min(first + AT_A_TIME);
        store
            .add(numbers.map(|number| job(number, due)).collect())
            .await
            .unwrap();
    }
    store.close().await;
}

fn job(number: u32, due: bool) -> NewJob {
    let (image, created_at) = (image(), time(number));
    let (plugin, not_before) = if due {
        (plugin(0), created_at)
    } else {
        (
            plugin(number % PLUGINS),
            chrono::Utc::now() + TimeDelta::days(1),
        )
    };
    NewJob {
        id: id(number),
        owner: None,
        request_id: "bench".to_owned(),
        plugin,
        mime_type: "image/png".to_owned(),
        options: None,
        image: Image {
            sha256: Some(digest_of(&image)),
            bytes: image.len() as u64,
        },
        data: Some(image),
        priority: Priority::Normal,
        not_before,
        deadline: None,
        max_attempts: 3,
        created_at,
        idempotency: None,
        callback_url: None,
        claim: None,
    }
}

fn time(number: u32) -> Time {
    let millis =
        i64::try_from(BEGAN).expect("it is long before the end of time") + i64::from(number);
    DateTime::from_timestamp_millis(millis).expect("there is such a time")
}
