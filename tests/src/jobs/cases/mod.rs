//! What every store of jobs must do: each function is one case, and panics where the store does otherwise. Its name
//! says what it holds. Knows no store in particular.

#![allow(missing_docs, reason = "the name of a case says what it holds")]

mod add;
mod callbacks;
mod cancel;
mod claim;
mod end;
mod forget;
mod keys;
mod lease;
mod life;
mod list;

/// All cases, handed to the macro `$with` as `file::case`.
#[macro_export]
macro_rules! each_job_store_case {
    ($with:ident) => {
        $with! {
            add::a_job_comes_back,
            add::every_field_comes_back,
            add::empty_fields_come_back,
            add::the_greatest_numbers_come_back,
            add::huge_options_come_back,
            add::a_claim_on_arrival_runs_at_once,
            add::an_unknown_id_is_not_found,
            add::a_job_is_its_owners_alone,
            add::several_are_added_or_none,
            add::one_that_is_refused_takes_no_other_with_it,
            add::answers_are_in_the_order_of_the_jobs,
            add::none_are_added,
            add::a_job_can_bring_its_image,
            add::times_are_whole_milliseconds,
            keys::the_same_key_is_the_job_of_then,
            keys::the_same_key_of_another_body_conflicts,
            keys::keys_are_each_owners_own,
            keys::fifty_at_once_give_one_job,
            keys::a_batch_that_says_a_key_twice_gives_one_job,
            keys::jobs_without_keys_are_never_the_same,
            keys::a_key_ends_with_its_job,
            claim::a_claim_says_who_and_until_when,
            claim::claims_are_by_priority_then_time_then_id,
            claim::one_claim_takes_the_first,
            claim::each_plugin_has_its_limit,
            claim::only_named_plugins_are_claimed,
            claim::no_job_is_claimed_before_its_time,
            claim::a_clock_that_goes_back_claims_nothing_early,
            claim::attempt_and_fence_rise_with_every_claim,
            claim::what_runs_is_not_claimed_again,
            claim::concurrent_claims_give_every_job_once,
            claim::jobs_are_claimed_while_they_are_added,
            claim::an_ended_job_is_not_claimed,
            claim::the_next_due_is_the_earliest_that_waits,
            end::a_job_ends_under_its_lease,
            end::what_an_end_does_not_say_stays,
            end::a_late_finish_is_refused,
            end::a_second_finish_is_refused,
            end::of_many_finishes_at_once_one_counts,
            end::a_wrong_lease_ends_nothing,
            end::a_lease_that_ran_out_counts_until_it_is_reclaimed,
            end::results_and_attachments_come_back,
            end::errors_come_back_with_what_is_internal,
            end::an_attempt_beyond_the_last_is_not_counted_at_the_end,
            end::an_end_counts_whatever_else_was_asked,
            end::a_job_that_waits_can_be_failed,
            end::what_does_not_wait_is_not_failed,
            lease::a_lease_is_prolonged,
            lease::renewals_are_answered_in_their_order,
            lease::a_job_that_waits_again_has_lost_its_lease,
            lease::a_job_that_is_handed_back_waits,
            lease::an_attempt_that_does_not_count_is_taken_back,
            lease::a_job_that_is_to_end_is_not_handed_back,
            lease::leases_that_ran_out_are_reclaimed,
            lease::a_clock_that_goes_back_reclaims_nothing,
            lease::a_host_reclaims_its_own,
            lease::a_reclaimed_job_that_was_to_end_has_ended,
            lease::concurrent_reclaims_count_every_job_once,
            cancel::a_job_that_waits_ends_at_once,
            cancel::a_job_that_runs_is_asked_to_end,
            cancel::what_has_ended_stays_as_it_is,
            cancel::an_unknown_job_is_not_cancelled,
            cancel::nobody_cancels_the_job_of_another,
            cancel::cancel_and_claim_at_once_agree,
            cancel::a_job_that_failed_runs_once_more,
            cancel::a_job_cancelled_while_it_ran_can_be_retried,
            cancel::what_has_not_failed_is_not_retried,
            cancel::nobody_retries_the_job_of_another,
            cancel::the_attempt_before_a_retry_ends_nothing,
            cancel::an_analysis_is_over_for_who_cancels,
            list::the_latest_is_the_first,
            list::every_combination_of_filters,
            list::a_list_is_of_one_owner,
            list::results_logs_and_options_are_left_out,
            list::pages_lose_nothing_while_jobs_are_added,
            list::counts_are_of_what_was_submitted,
            list::what_nobody_serves_is_found,
            callbacks::nobody_is_told_before_the_end,
            callbacks::every_end_is_told,
            callbacks::a_job_without_a_callback_is_never_due,
            callbacks::concurrent_tellers_claim_each_once,
            callbacks::a_teller_that_went_silent_is_followed,
            callbacks::what_was_told_is_not_told_again,
            callbacks::telling_is_tried_again_and_given_up,
            callbacks::the_end_of_an_unknown_telling_is_nothing,
            callbacks::a_late_telling_does_not_touch_a_job_that_runs_again,
            callbacks::a_job_is_kept_while_somebody_is_to_be_told,
            forget::old_ends_are_forgotten,
            forget::the_oldest_end_goes_first,
            forget::no_more_than_so_many_of_a_kind_are_kept,
            forget::a_clock_that_goes_back_forgets_nothing,
            forget::a_payload_is_needed_by_image_result_or_attachment,
            forget::a_payload_that_two_jobs_need_outlives_one,
            forget::data_is_kept_as_it_is,
            forget::data_has_its_grace,
            forget::data_of_results_and_attachments_is_needed,
            forget::an_analysis_comes_back,
            forget::a_second_note_changes_nothing,
            life::everything_is_there_after_it_was_opened_again,
            life::it_knows_the_time,
            life::it_has_not_failed,
            life::hosts_that_live_are_known,
            life::a_host_that_was_silent_for_a_day_is_forgotten,
            life::an_add_that_is_dropped_leaves_no_half,
            life::a_claim_that_is_dropped_leaves_no_half,
            life::a_finish_that_is_dropped_leaves_no_half,
            life::many_callers_at_once_lose_nothing,
            life::a_close_lets_what_is_under_way_end,
        }
    };
}

macro_rules! cases {
    ($($file:ident::$case:ident),* $(,)?) => { $(pub use $file::$case;)* };
}
each_job_store_case!(cases);
