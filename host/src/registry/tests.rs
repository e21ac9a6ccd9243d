//! Admission and swaps, with lanes that nobody enters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use semver::Version;

use super::{Declaration, Generation, Plugin, Turn};
use crate::call::Exhausted;
use crate::config::PluginConfig;
use crate::error::CallError;
use crate::names::{Accepts, Digest, PluginName};

const LONG: Duration = Duration::from_secs(600);

/// A build that cannot be opened.
pub(super) fn generation(number: u8) -> Arc<Generation> {
    limited(number, 1, 1)
}

fn limited(number: u8, concurrency: usize, queue: usize) -> Arc<Generation> {
    let declaration = Declaration {
        name: PluginName::parse("any").unwrap(),
        version: Version::new(1, 0, 0),
        description: String::new(),
        accepts: Accepts::parse(vec!["image/*".to_owned()]).unwrap(),
        thread_safe: false,
        file: "any.so".to_owned(),
        digest: Digest::new([number; 32]),
    };
    let config = PluginConfig {
        concurrency,
        queue,
        deadline: "10m".parse().unwrap(),
        ..PluginConfig::default()
    };
    let open = || {
        let refused = Exhausted {
            reason: "a test".to_owned(),
            retry_after: None,
        };
        async move { Err(refused) }.boxed()
    };
    Generation::new(declaration, config, Box::new(open))
}

fn plugin(concurrency: usize, queue: usize) -> Arc<Plugin> {
    Arc::new(Plugin::serving(limited(0, concurrency, queue)))
}

async fn admit(plugin: &Plugin) -> Result<Turn, CallError> {
    plugin.admit(Instant::now(), None).await
}

fn build(turn: &Turn) -> Digest {
    turn.generation.declaration().digest
}

/// A call that waits for its turn.
fn waiting(plugin: &Arc<Plugin>) -> tokio::task::JoinHandle<Result<Turn, CallError>> {
    let plugin = Arc::clone(plugin);
    tokio::spawn(async move { admit(&plugin).await })
}

async fn until_queued(plugin: &Plugin, count: usize) {
    while plugin.status().unwrap().queued != count {
        tokio::task::yield_now().await;
    }
}

fn load(plugin: &Plugin) -> (usize, usize) {
    let status = plugin.status().unwrap();
    (status.in_flight, status.queued)
}

#[tokio::test]
async fn beyond_places_and_queue_a_call_is_turned_away() {
    let plugin = plugin(1, 1);
    let running = admit(&plugin).await.unwrap();
    let next = waiting(&plugin);
    until_queued(&plugin, 1).await;
    let Err(refused) = admit(&plugin).await else {
        panic!("it is full")
    };
    let expected = matches!(
        refused,
        CallError::Overloaded {
            in_flight: 1,
            queued: 1,
            ..
        }
    );
    assert!(expected, "{refused}");
    drop(running);
    drop(next.await.unwrap().unwrap());
    assert_eq!(load(&plugin), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_come_times_out() {
    let plugin = plugin(1, 1);
    let _running = admit(&plugin).await.unwrap();
    let late = plugin
        .admit(Instant::now(), Some(Duration::from_millis(5)))
        .await;
    let expected = matches!(
        late,
        Err(CallError::TimedOut {
            still_running: false,
            ..
        })
    );
    assert!(expected);
    assert_eq!(load(&plugin), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_ever_and_never_do_too_many_run() {
    let plugin = plugin(2, 10_000);
    let most = Arc::new(AtomicUsize::new(0));
    let calls = (0..2_000).map(|_| {
        let (plugin, most) = (Arc::clone(&plugin), Arc::clone(&most));
        tokio::spawn(async move {
            let turn = admit(&plugin).await.unwrap();
            most.fetch_max(turn.generation.in_flight(), SeqCst);
            tokio::task::yield_now().await;
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(load(&plugin), (0, 0));
    assert!(most.load(SeqCst) <= 2);
}

#[tokio::test]
async fn a_call_ends_in_the_generation_that_it_began_in() {
    let plugin = plugin(1, 1);
    let (old, new) = (plugin.stable().unwrap(), generation(1));
    let before = admit(&plugin).await.unwrap();
    let closed = plugin.replace(&new);
    assert!(Arc::ptr_eq(&closed[0], &old));
    let after = admit(&plugin).await.unwrap();
    assert_eq!(
        (build(&before), build(&after)),
        (Digest::new([0; 32]), Digest::new([1; 32]))
    );
    let states = plugin.status().unwrap().generations;
    let states: Vec<_> = states
        .iter()
        .map(|it| (it.lifecycle.as_str(), it.in_flight))
        .collect();
    assert_eq!(states, [("LOADING", 1), ("DRAINING", 1)]);
    assert!(old.until_empty().now_or_never().is_none());
    drop(before);
    assert!(old.until_empty().now_or_never().is_some());
    plugin.retire(&old);
    assert_eq!(plugin.alive().len(), 1);
}

#[tokio::test]
async fn calls_that_wait_are_served_by_what_replaces_a_full_generation() {
    let plugin = plugin(1, 2);
    let hangs = admit(&plugin).await.unwrap();
    let waiting = [waiting(&plugin), waiting(&plugin)];
    until_queued(&plugin, 2).await;
    plugin.replace(&limited(1, 2, 0));
    for call in waiting {
        assert_eq!(build(&call.await.unwrap().unwrap()), Digest::new([1; 32]));
    }
    drop(hangs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn swaps_lose_no_call() {
    let plugin = plugin(2, 10_000);
    let calls = (0..4_000).map(|_| {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move {
            let turn = admit(&plugin).await.unwrap();
            tokio::task::yield_now().await;
            drop(turn);
        })
    });
    let calls: Vec<_> = calls.collect();
    for number in 1..200 {
        for old in plugin.replace(&limited(number, 2, 10_000)) {
            old.until_empty().await;
            assert_eq!(old.in_flight(), 0);
            plugin.retire(&old);
        }
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!((load(&plugin), plugin.alive().len()), ((0, 0), 1));
}

#[tokio::test]
async fn a_canary_that_is_full_holds_nobody_up() {
    let plugin = plugin(2, 1);
    let canary = generation(1);
    plugin.try_out(&canary, 90);
    let first = admit(&plugin).await.unwrap();
    assert_eq!(build(&first), Digest::new([1; 32]));
    // The second of a hundred goes to the stable one, the third is the canary's again.
    let others = [admit(&plugin).await.unwrap(), admit(&plugin).await.unwrap()];
    assert!(
        others
            .iter()
            .all(|turn| build(turn) == Digest::new([0; 32]))
    );
    let ended = plugin.end_canary();
    assert!(Arc::ptr_eq(&ended[0], &canary));
    assert!(canary.until_empty().now_or_never().is_none());
    drop(first);
    assert!(canary.until_empty().now_or_never().is_some());
}

#[tokio::test]
async fn what_waits_for_a_plugin_that_is_removed_is_served() {
    let plugin = plugin(1, 1);
    let running = admit(&plugin).await.unwrap();
    let waits = waiting(&plugin);
    until_queued(&plugin, 1).await;
    plugin.leave();
    let closing = tokio::spawn({
        let plugin = Arc::clone(&plugin);
        async move { plugin.close().await }
    });
    drop(running);
    drop(waits.await.unwrap().unwrap());
    let closed = closing.await.unwrap();
    closed[0].until_empty().await;
    let late = admit(&plugin).await;
    assert!(matches!(late, Err(CallError::UnknownPlugin { .. })));
    plugin.retire(&closed[0]);
    assert!(plugin.status().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_only_hangs_keeps_nobody_waiting_beyond_its_deadline() {
    let plugin = plugin(1, 5);
    let _hangs = admit(&plugin).await.unwrap();
    let waits = waiting(&plugin);
    let outcome = tokio::time::timeout(LONG + Duration::from_secs(1), waits).await;
    assert!(matches!(
        outcome.unwrap().unwrap(),
        Err(CallError::TimedOut { .. })
    ));
}
