//! Any course of calls: a store answers each as the model in memory does, and holds the same in the end.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use bulkhead_tests::jobs::faulty::Mutant;
use bulkhead_tests::jobs::places::{Database, Folder, Memory};
use bulkhead_tests::jobs::steps::{Step, compare};
use bulkhead_tests::jobs::{Bench, Place};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;

/// Compares some courses of calls; each has a store of its own. Gives the shortest that differs.
fn differs<P: Place + 'static>(courses: u32, new: impl Fn() -> P) -> Option<String> {
    let config = Config {
        cases: courses,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let course = |steps: Vec<Step>| {
        let same = Runtime::new().unwrap().block_on(async {
            let bench = Bench::new(new()).await;
            let same = compare(&bench, &steps).await;
            bench.close().await;
            same
        });
        same.map_err(TestCaseError::fail)
    };
    let steps = vec(any::<Step>(), 1..120);
    match TestRunner::new(config).run(&steps, course) {
        Ok(()) => None,
        Err(TestError::Fail(reason, steps)) => Some(format!("{steps:?}: {reason}")),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn the_model_is_like_itself() {
    assert_eq!(differs(200, Memory::new), None);
}

#[test]
fn sqlite_is_like_the_model() {
    assert_eq!(differs(16, Folder::new), None);
}

#[test]
fn postgres_is_like_the_model() {
    if Database::new().is_some() {
        let new = || Database::new().expect("there is a server");
        assert_eq!(differs(8, new), None);
    }
}

#[test]
fn a_store_with_a_fault_is_not_like_the_model() {
    for mutant in [
        Mutant::ClaimsTwice,
        Mutant::KeepsFence,
        Mutant::IgnoresFence,
        Mutant::IgnoresKeys,
        Mutant::IgnoresOwner,
        Mutant::ForgetsAttempt,
        Mutant::ForgetsCallbacks,
        Mutant::LosesTheLast,
    ] {
        let found = differs(500, || Memory::with(mutant));
        assert!(found.is_some(), "{mutant:?} is not found");
    }
}
