//! Jobs come in: a group of submissions is one transaction. Knows nothing of what becomes of them.

use std::collections::HashSet;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures_util::future::BoxFuture;
use tokio_postgres::Row;
use uuid::Uuid;

use super::data::{self, Put};
use super::failure::{Done, Failure, tried};
use super::group::Work;
use super::link::{Link, bounded, each};
use super::rows::{self, Cells, Param, columns};
use crate::jobs::record::Record;
use crate::jobs::store::{Added, NewJob, Notice, StoreError};
use crate::names::Digest;

/// Waits for whoever adds the same key at the same time, to see what comes of that.
const INSERT: &str = concat!(
    "INSERT INTO jobs (",
    columns!(),
    ", idempotency_key, idempotency_digest) VALUES (\
     $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, \
     $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36) ON CONFLICT DO NOTHING RETURNING id",
);

/// The job with its id comes before another with its key.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    ", idempotency_digest FROM jobs WHERE id = $1 \
     OR (idempotency_key = $2 AND (owner IS NULL) = ($3::TEXT IS NULL) AND COALESCE(owner, '') = COALESCE($3, '')) \
     ORDER BY id <> $1 LIMIT 1",
);

const USE: &str = "INSERT INTO uses (sha256, job) SELECT * FROM unnest($1::BYTEA[], $2::UUID[]) ON CONFLICT DO NOTHING";

/// Adds groups of submissions.
pub(super) struct Adding(pub(super) Link);

impl Work for Adding {
    type Item = Vec<NewJob>;
    type Answer = Vec<Added>;

    fn size(&self, item: &Vec<NewJob>) -> usize {
        let sizes = item
            .iter()
            .map(|job| job.data.as_ref().map_or(0, Bytes::len));
        sizes.sum()
    }

    fn run<'a>(
        &'a self,
        items: &'a [Vec<NewJob>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Added>>, StoreError>> {
        Box::pin(async move {
            let mut added = bounded(async { tried!(self.add(items)) })
                .await?
                .into_iter();
            let answers = items
                .iter()
                .map(|jobs| added.by_ref().take(jobs.len()).collect());
            Ok(answers.collect())
        })
    }
}

impl Adding {
    async fn add(&self, items: &[Vec<NewJob>]) -> Done<Vec<Added>> {
        let jobs: Vec<&NewJob> = items.iter().flatten().collect();
        let mut client = self.0.client().await?;
        let transaction = client.transaction().await?;
        // Pictures first, then jobs: the order in which everybody locks.
        keep_pictures(&transaction, &jobs).await?;
        let records: Vec<Record> = jobs.iter().map(|job| job.record()).collect();
        let cells = jobs.iter().zip(&records);
        let cells = cells.map(|(job, record)| Cells::of(record, job.idempotency.as_ref()));
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_key(|at| key(jobs[*at]));
        let new = insert(&transaction, &cells.collect::<Vec<_>>(), &order).await?;
        let mut added = Vec::with_capacity(jobs.len());
        for job in &jobs {
            added.push(match new.contains(&job.id) {
                true => Added::New,
                false => winner(&transaction, job).await?,
            });
        }
        let is_new = |record: &&Record| new.contains(&record.id);
        use_payloads(&transaction, records.iter().filter(is_new)).await?;
        if acks_early() {
            return Ok(added);
        }
        fail::fail_point!("store.add.before_commit");
        transaction.commit().await?;
        fail::fail_point!("store.add.after_commit");
        self.0.tell((!new.is_empty()).then_some(Notice::Added));
        Ok(added)
    }
}

/// The control of tests that end the host: with it they must find a job lost, for it is never written.
fn acks_early() -> bool {
    fail::fail_point!("store.ack_early", |_| true);
    false
}

/// In this order everybody adds, so that no two wait for each other.
fn key(job: &NewJob) -> Option<(&str, Option<&str>)> {
    let idempotency = job.idempotency.as_ref()?;
    Some((&idempotency.key, job.owner.as_deref()))
}

async fn keep_pictures(transaction: &Transaction<'_>, jobs: &[&NewJob]) -> Done<()> {
    let puts = jobs.iter().filter_map(|job| {
        let (data, sha256) = (job.data.as_ref()?, job.image.sha256?);
        Some(Put {
            sha256,
            data,
            now: job.created_at,
        })
    });
    data::keep(transaction, puts.collect()).await?;
    let pictures = jobs.iter().filter_map(|job| job.image.sha256);
    data::hold(transaction, pictures).await
}

/// The ids of those that were not there yet.
async fn insert(
    transaction: &Transaction<'_>,
    cells: &[Cells<'_>],
    order: &[usize],
) -> Done<HashSet<Uuid>> {
    let params: Vec<[Param<'_>; 36]> = order.iter().map(|at| cells[*at].params()).collect();
    let inserted = each(transaction, INSERT, &params).await?;
    let ids = inserted.iter().flatten().map(|row| row.try_get(0));
    Ok(ids.collect::<Result<_, _>>()?)
}

/// What was there before.
async fn winner(transaction: &Transaction<'_>, job: &NewJob) -> Done<Added> {
    let key = job.idempotency.as_ref().map(|it| rows::plain(&it.key));
    let owner = job.owner.as_deref().map(rows::plain);
    let statement = transaction.prepare_cached(FIND).await?;
    let found = transaction
        .query_opt(&statement, &[&job.id, &key, &owner])
        .await?;
    // It may have been removed after it was in our way.
    let row = found.ok_or(Failure::Raced("another job with its key came and went"))?;
    let found = rows::record(&row)?;
    let is_same = match &job.idempotency {
        Some(own) => digest(&row)? == Some(own.digest),
        None => false,
    };
    match is_same {
        true => Ok(Added::Known(Box::new(found))),
        false if found.id == job.id => {
            let reason = format!("there is a job {} already", job.id);
            Err(StoreError::Other(reason).into())
        }
        false => Ok(Added::Conflict),
    }
}

fn digest(row: &Row) -> Done<Option<Digest>> {
    let bytes: Option<Vec<u8>> = row.try_get(row.len() - 1)?;
    Ok(bytes.and_then(rows::digest))
}

/// Notes which payloads these jobs need.
pub(super) async fn use_payloads(
    transaction: &Transaction<'_>,
    records: impl Iterator<Item = &Record>,
) -> Done<()> {
    let needed = |record: &Record| {
        let of_outcome = record.outcome.as_ref().map(rows::payloads);
        let (id, image) = (record.id, record.image.sha256);
        let all = image.into_iter().chain(of_outcome.unwrap_or_default());
        all.map(|sha256| (sha256, id)).collect::<Vec<_>>()
    };
    use_each(transaction, &records.flat_map(needed).collect::<Vec<_>>()).await
}

/// Notes that each of these payloads is needed by that job.
pub(super) async fn use_each(transaction: &Transaction<'_>, uses: &[(Digest, Uuid)]) -> Done<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let digests: Vec<&[u8]> = uses.iter().map(|(sha256, _)| &sha256.bytes()[..]).collect();
    let jobs: Vec<Uuid> = uses.iter().map(|(_, job)| *job).collect();
    let statement = transaction.prepare_cached(USE).await?;
    transaction.execute(&statement, &[&digests, &jobs]).await?;
    Ok(())
}

impl Link {
    /// Notes analyses that are over.
    pub(super) async fn note(&self, ended: &[Record]) -> Done<()> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let payloads = ended.iter().filter_map(|it| it.outcome.as_ref());
        data::hold(&transaction, payloads.flat_map(rows::payloads)).await?;
        let cells: Vec<_> = ended.iter().map(|record| Cells::of(record, None)).collect();
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by_key(|at| ended[*at].id);
        let new = insert(&transaction, &cells, &order).await?;
        let is_new = |record: &&Record| new.contains(&record.id);
        use_payloads(&transaction, ended.iter().filter(is_new)).await?;
        transaction.commit().await?;
        Ok(())
    }
}
