//! Any course of calls: a store answers each as the model in memory does, and holds the same in the end.

use bulkhead_tests::jobs::model::Model;
use bulkhead_tests::jobs::steps::{Step, compare};
use bulkhead_tests::jobs::{Bench, Handles, Place};
use futures_util::future::BoxFuture;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Compares some courses of up to 80 calls each; opens a store anew for each.
fn check(courses: u32, open: impl Fn(&Runtime) -> Bench) {
    let config = Config {
        cases: courses,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let steps = vec(any::<Step>(), 1..80);
    let course = |steps: Vec<Step>| {
        let runtime = Runtime::new().unwrap();
        let bench = open(&runtime);
        let same = runtime.block_on(compare(&bench, &steps));
        runtime.block_on(bench.close());
        same.map_err(TestCaseError::fail)
    };
    if let Err(found) = TestRunner::new(config).run(&steps, course) {
        panic!("{found}");
    }
}

struct Memory(Arc<Model>);

impl Place for Memory {
    fn open(&self) -> BoxFuture<'_, Handles> {
        let handles = Handles {
            store: self.0.clone(),
            other: self.0.clone(),
        };
        Box::pin(async { handles })
    }
}

#[test]
fn the_model_is_like_itself() {
    check(200, |runtime| {
        runtime.block_on(Bench::new(Memory(Arc::default())))
    });
}
