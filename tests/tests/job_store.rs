//! Every store of jobs does what the contract says: all cases, against each of them, and against a model in memory.

use std::sync::Arc;

use bulkhead::jobs::SharedStore;
use bulkhead_tests::each_job_store_case;
use bulkhead_tests::jobs::model::Model;
use bulkhead_tests::jobs::{Bench, Handles, Place, cases};
use futures_util::future::BoxFuture;

macro_rules! tests {
    ($($file:ident::$case:ident),* $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let bench = bench().await;
            cases::$case(&bench).await;
            bench.close().await;
        }
    )* };
}

/// What is in memory is there for as long as somebody holds it.
struct Memory(SharedStore);

impl Place for Memory {
    fn open(&self) -> BoxFuture<'_, Handles> {
        let handles = Handles {
            store: self.0.clone(),
            other: self.0.clone(),
        };
        Box::pin(async { handles })
    }
}

mod model {
    use super::*;

    async fn bench() -> Bench {
        Bench::new(Memory(Arc::new(Model::default()))).await
    }

    each_job_store_case!(tests);
}
