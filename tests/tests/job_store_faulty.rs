//! The cases can fail: each fault is found by the case that is there for it, and a store without one is not.

use bulkhead_tests::jobs::faulty::Mutant;
use bulkhead_tests::jobs::places::Memory;
use bulkhead_tests::jobs::{Bench, cases};

/// Whether a case panics with this fault.
macro_rules! fails {
    ($mutant:expr, $case:ident) => {
        async {
            let case = tokio::spawn(async {
                let bench = Bench::new(Memory::with($mutant)).await;
                cases::$case(&bench).await;
            });
            case.await.is_err_and(|error| error.is_panic())
        }
        .await
    };
}

macro_rules! found {
    ($($test:ident: $mutant:ident by $case:ident;)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            assert!(!fails!(Mutant::Sound, $case), "the case fails without the fault");
            assert!(fails!(Mutant::$mutant, $case), "the case does not see the fault");
        }
    )* };
}

found! {
    a_claim_that_gives_a_job_twice: ClaimsTwice by concurrent_claims_give_every_job_once;
    a_claim_that_does_not_raise_the_fence: KeepsFence by attempt_and_fence_rise_with_every_claim;
    a_late_finish_that_counts_as_the_fence_did_not_rise: KeepsFence by a_late_finish_is_refused;
    a_finish_that_ignores_the_fence: IgnoresFence by a_late_finish_is_refused;
    a_finish_under_a_lease_before_a_retry: IgnoresFence by the_attempt_before_a_retry_ends_nothing;
    keys_that_are_ignored: IgnoresKeys by fifty_at_once_give_one_job;
    keys_that_are_ignored_in_sequence: IgnoresKeys by the_same_key_is_the_job_of_then;
    a_list_of_all_owners: IgnoresOwner by a_list_is_of_one_owner;
    a_reclaim_that_forgets_the_attempt: ForgetsAttempt by leases_that_ran_out_are_reclaimed;
    forgetting_before_somebody_is_told: ForgetsCallbacks by a_job_is_kept_while_somebody_is_to_be_told;
    a_batch_without_its_last: LosesTheLast by concurrent_claims_give_every_job_once;
}
