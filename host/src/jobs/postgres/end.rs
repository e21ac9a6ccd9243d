//! How jobs end, and how they wait again: by their hosts, under a lease, or because somebody wants it so.

use deadpool_postgres::Transaction;
use futures_util::future::BoxFuture;
use tokio_postgres::Row;
use uuid::Uuid;

use super::add::use_each;
use super::data;
use super::failure::{Done, Failure, tried};
use super::group::Work;
use super::link::{Link, bounded, each};
use super::rows::{self, OutcomeCells, Param, columns, millis};
use crate::jobs::record::{Record, Status, StoredError, StoredResult, Time};
use crate::jobs::store::{Cancelled, End, HandBack, Notice, Retried, StoreError};

const FINISH: &str = "UPDATE jobs SET status = $3, output = $4, error = $5, internal = $6, result = $7, \
    started_at = COALESCE($8, started_at), finished_at = $9, generation = $10, progress = $11, \
    log = COALESCE($12, log), host = NULL, leased_until = NULL, cancel_asked = FALSE, \
    attempt = LEAST(attempt, max_attempts), \
    callback_due = CASE WHEN callback_url IS NOT NULL THEN $9::BIGINT END \
    WHERE id = $1 AND fence = $2 AND status = 1 RETURNING id";

const HAND_BACK: &str = "UPDATE jobs SET status = CASE WHEN cancel_asked THEN 4 ELSE 0 END, host = NULL, \
    leased_until = NULL, cancel_asked = FALSE, log = COALESCE($10, log), \
    not_before = CASE WHEN cancel_asked THEN not_before ELSE $3 END, \
    finished_at = CASE WHEN cancel_asked THEN GREATEST($9, started_at) END, \
    attempt = CASE WHEN cancel_asked THEN LEAST(attempt - $4, max_attempts) ELSE attempt - $4 END, \
    error = CASE WHEN cancel_asked THEN $7 ELSE COALESCE($5, error) END, \
    internal = CASE WHEN cancel_asked THEN $8 ELSE COALESCE($6, internal) END, \
    callback_due = CASE WHEN cancel_asked AND callback_url IS NOT NULL THEN GREATEST($9, started_at) END \
    WHERE id = $1 AND fence = $2 AND status = 1 RETURNING status";

const CANCEL: &str = concat!(
    "UPDATE jobs SET status = CASE WHEN status = 0 THEN 4 ELSE status END, cancel_asked = (status = 1), \
     attempt = CASE WHEN status = 0 THEN LEAST(attempt, max_attempts) ELSE attempt END, \
     finished_at = CASE WHEN status = 0 THEN GREATEST($3, created_at) END, \
     error = CASE WHEN status = 0 THEN $4 ELSE error END, \
     internal = CASE WHEN status = 0 THEN $5 ELSE internal END, \
     callback_due = CASE WHEN status = 0 AND callback_url IS NOT NULL THEN GREATEST($3, created_at) END \
     WHERE id = $1 AND ($2::TEXT IS NULL OR owner = $2) AND status IN (0, 1) RETURNING ",
    columns!(),
);

const FAIL: &str = "UPDATE jobs SET status = 3, attempt = LEAST(attempt, max_attempts), finished_at = GREATEST($2, created_at), error = $3, internal = $4, \
    callback_due = CASE WHEN callback_url IS NOT NULL THEN GREATEST($2, created_at) END \
    WHERE id = $1 AND status = 0";

const RETRY: &str = concat!(
    "UPDATE jobs SET status = 0, not_before = $3, attempt = 0, output = NULL, error = NULL, internal = NULL, \
     result = NULL, log = NULL, generation = NULL, started_at = NULL, finished_at = NULL, progress = 0, \
     cancel_asked = FALSE, callback_attempts = 0, callback_due = NULL, callback_delivered_at = NULL, \
     callback_error = NULL \
     WHERE id = $1 AND ($2::TEXT IS NULL OR owner = $2) AND status IN (3, 4) RETURNING ",
    columns!(),
);

/// Ends jobs in groups.
pub(super) struct Ending(pub(super) Link);

impl Work for Ending {
    type Item = End;
    type Answer = bool;

    fn size(&self, end: &End) -> usize {
        let result = end.outcome.as_ref().ok().and_then(|it| it.result.as_ref());
        let result = match result {
            Some(StoredResult::Inline(bytes)) => bytes.len(),
            Some(StoredResult::Payload { .. }) | None => 0,
        };
        result + end.log.as_ref().map_or(0, String::len)
    }

    fn run<'a>(&'a self, items: &'a [End]) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(bounded(async { tried!(self.finish(items)) }))
    }
}

impl Ending {
    async fn finish(&self, ends: &[End]) -> Done<Vec<bool>> {
        let mut order: Vec<usize> = (0..ends.len()).collect();
        order.sort_by_key(|at| ends[*at].lease.job);
        let cells: Vec<EndCells<'_>> = order.iter().map(|at| EndCells::of(&ends[*at])).collect();
        let params: Vec<_> = cells.iter().map(EndCells::params).collect();
        let mut client = self.0.client().await?;
        let transaction = client.transaction().await?;
        let updated = each(&transaction, FINISH, &params).await?;
        let mut has_ended = vec![false; ends.len()];
        for (at, rows) in order.into_iter().zip(&updated) {
            has_ended[at] = !rows.is_empty();
        }
        let ended = || {
            ends.iter()
                .zip(&has_ended)
                .filter(|(_, it)| **it)
                .map(|(end, _)| end)
        };
        use_outcomes(&transaction, ended()).await?;
        fail::fail_point!("store.finish.before_commit");
        transaction.commit().await?;
        fail::fail_point!("store.finish.after_commit");
        self.0.tell(ended().map(|end| Notice::Ended(end.lease.job)));
        Ok(has_ended)
    }
}

async fn use_outcomes(transaction: &Transaction<'_>, ends: impl Iterator<Item = &End>) -> Done<()> {
    let uses = ends.flat_map(|end| {
        let payloads = rows::payloads(&end.outcome).into_iter();
        payloads.map(|sha256| (sha256, end.lease.job))
    });
    let uses: Vec<_> = uses.collect();
    data::hold(transaction, uses.iter().map(|(sha256, _)| *sha256)).await?;
    use_each(transaction, &uses).await
}

/// What is written of an end.
struct EndCells<'a> {
    end: &'a End,
    status: i16,
    outcome: OutcomeCells<'a>,
    started_at: Option<i64>,
    finished_at: i64,
}

impl<'a> EndCells<'a> {
    fn of(end: &'a End) -> Self {
        Self {
            end,
            status: end.status.number(),
            outcome: OutcomeCells::of(&end.outcome),
            started_at: end.started_at.map(millis),
            finished_at: millis(end.finished_at),
        }
    }

    fn params(&self) -> [Param<'_>; 12] {
        [
            &self.end.lease.job,
            &self.end.lease.fence,
            &self.status,
            &self.outcome.output,
            &self.outcome.error,
            &self.outcome.internal,
            &self.outcome.result,
            &self.started_at,
            &self.finished_at,
            &self.end.generation,
            &self.end.progress,
            &self.end.log,
        ]
    }
}

impl Link {
    pub(super) async fn hand_back(&self, back: &HandBack) -> Done<bool> {
        let uncounted = i64::from(!back.is_counted);
        let error = back.error.as_ref();
        let params: [Param<'_>; 10] = [
            &back.lease.job,
            &back.lease.fence,
            &millis(back.not_before),
            &uncounted,
            &error.map(|it| it.error.get()),
            &error.map(|it| it.internal.get()),
            &back.cancelled.error.get(),
            &back.cancelled.internal.get(),
            &millis(back.now),
            &back.log,
        ];
        let changed = self.rows(HAND_BACK, &params).await?;
        let Some(row) = changed.first() else {
            return Ok(false);
        };
        let waits = row.try_get::<_, i16>(0)? == Status::Pending.number();
        self.tell([if waits {
            Notice::Added
        } else {
            Notice::Ended(back.lease.job)
        }]);
        Ok(true)
    }

    pub(super) async fn cancel(
        &self,
        id: Uuid,
        owner: Option<&str>,
        error: &StoredError,
        now: Time,
    ) -> Done<Cancelled> {
        let (text, internal) = (error.error.get(), error.internal.get());
        let changed = self
            .rows(CANCEL, &[&id, &owner, &millis(now), &text, &internal])
            .await?;
        if let Some(record) = first(&changed)? {
            let is_over = record.status.is_final();
            self.tell([if is_over {
                Notice::Ended(id)
            } else {
                Notice::CancelAsked(id)
            }]);
            let record = Box::new(record);
            return Ok(if is_over {
                Cancelled::Ended(record)
            } else {
                Cancelled::Asked(record)
            });
        }
        match self.get(id, owner).await? {
            None => Ok(Cancelled::Unknown),
            Some(record) if record.status.is_final() => Ok(Cancelled::Ended(Box::new(record))),
            Some(_) => Err(Failure::Raced("a job began anew while it was to end")),
        }
    }

    pub(super) async fn fail_pending(
        &self,
        id: Uuid,
        error: &StoredError,
        now: Time,
    ) -> Done<bool> {
        let (text, internal) = (error.error.get(), error.internal.get());
        let changed = self
            .execute(FAIL, &[&id, &millis(now), &text, &internal])
            .await?
            > 0;
        self.tell(changed.then_some(Notice::Ended(id)));
        Ok(changed)
    }

    pub(super) async fn retry(&self, id: Uuid, owner: Option<&str>, now: Time) -> Done<Retried> {
        let changed = self.rows(RETRY, &[&id, &owner, &millis(now)]).await?;
        if let Some(record) = first(&changed)? {
            self.tell([Notice::Added]);
            return Ok(Retried::Pending(Box::new(record)));
        }
        match self.get(id, owner).await? {
            None => Ok(Retried::Unknown),
            Some(record) => match record.status {
                Status::Failed | Status::Cancelled => {
                    Err(Failure::Raced("a job ended while it was to begin anew"))
                }
                Status::Pending | Status::Running | Status::Success => {
                    Ok(Retried::Refused(Box::new(record)))
                }
            },
        }
    }
}

fn first(rows: &[Row]) -> Done<Option<Record>> {
    rows.first().map(rows::record).transpose()
}
