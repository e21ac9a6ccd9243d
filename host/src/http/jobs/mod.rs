//! Jobs as callers see them: submitted, looked at, followed, ended. What a job's fields are called stands in
//! `record`; what each route does in a file of its own.

mod act;
mod batch;
mod events;
mod list;
mod look_up;
mod record;
mod result;
mod submit;
mod terms;

pub(super) use act::{cancel, retry};
pub(super) use batch::submit_batch;
pub(super) use events::{follow, word as event_word};
pub(super) use list::{KINDS, LIMIT, MAX_LIMIT, list};
pub(super) use look_up::{MAX_WAIT, look_up};
pub(super) use record::timestamp;
pub(super) use result::{attachment, result};
pub(super) use submit::submit;
pub(super) use terms::{MAX_ATTEMPTS, MAX_KEY, MAX_URL};
