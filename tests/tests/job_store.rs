//! Every store of jobs does what the contract says: all cases, against each of them, and against the model that others
//! are compared with.

use bulkhead_tests::each_job_store_case;
use bulkhead_tests::jobs::places::{Database, Folder, Memory};
use bulkhead_tests::jobs::{Bench, cases};

macro_rules! tests {
    ($($file:ident::$case:ident),* $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            // Without a place there is no such store here, and that was said.
            let Some(place) = place() else { return };
            let bench = Bench::new(place).await;
            cases::$case(&bench).await;
            bench.close().await;
        }
    )* };
}

mod model {
    use super::*;

    fn place() -> Option<Memory> {
        Some(Memory::new())
    }

    each_job_store_case!(tests);
}

mod sqlite {
    use super::*;

    fn place() -> Option<Folder> {
        Some(Folder::new())
    }

    each_job_store_case!(tests);
}

mod postgres {
    use super::*;

    fn place() -> Option<Database> {
        Database::new()
    }

    each_job_store_case!(tests);
}
