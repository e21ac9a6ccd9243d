//! Payloads that lie in the store itself, and which payloads are needed at all. Knows no job but by its id.
//!
//! Why nothing that a job needs is ever removed: whoever notes a use holds the payload's row first (`FOR KEY SHARE`,
//! which many can at once) and until its transaction is over. Whoever removes takes the row for itself alone
//! (`FOR UPDATE`), which it only gets when nobody holds it, and looks for uses *after* that, in another statement:
//! each statement sees all that was over before it began, so it sees the use of everybody who had held the row.
//! Who comes later waits until the row is gone, finds none, and puts the bytes again. (One statement would not do:
//! it looks for uses first and then waits for the row, and a row that was only held is not looked at again.)

use std::collections::BTreeMap;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::failure::{Done, Failure};
use super::link::{Link, each};
use super::rows::{self, Param, millis};
use crate::jobs::record::Time;
use crate::jobs::store::StoreError;
use crate::names::Digest;

/// A payload that was put less than so many milliseconds ago is not noted as put anew: the picture that everybody
/// submits is written to once a second, and by nobody else.
const FRESH: i64 = 1000;

/// How many are removed in one transaction, which holds nobody up for long.
const AT_ONCE: i64 = 200;

const HOLD: &str =
    "SELECT sha256, put_at FROM data WHERE sha256 = ANY($1::BYTEA[]) ORDER BY sha256 FOR KEY SHARE";

const PUT: &str = "INSERT INTO data (sha256, bytes, put_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1";

const PUT_ANEW: &str = "UPDATE data SET put_at = $2 WHERE sha256 = $1 AND put_at < $2";

const NOT_USED: &str = "NOT EXISTS (SELECT FROM uses WHERE uses.sha256 = data.sha256)";

/// Bytes to be kept.
pub(super) struct Put<'a> {
    pub(super) sha256: Digest,
    pub(super) data: &'a Bytes,
    pub(super) now: Time,
}

/// Keeps these, and holds them until the transaction is over.
pub(super) async fn keep(transaction: &Transaction<'_>, puts: Vec<Put<'_>>) -> Done<()> {
    // In their order, so that no two wait for each other.
    let puts: BTreeMap<[u8; 32], Put<'_>> = puts
        .into_iter()
        .map(|put| (*put.sha256.bytes(), put))
        .collect();
    if puts.is_empty() {
        return Ok(());
    }
    let held = held(transaction, puts.keys()).await?;
    let is_missing = |put: &&Put<'_>| !held.contains_key(put.sha256.bytes());
    let missing: Vec<_> = puts.values().filter(is_missing).collect();
    if insert(transaction, &missing).await? < missing.len() {
        return Err(Failure::Raced("a payload came and went"));
    }
    let is_stale = |put: &&Put<'_>| {
        let put_at = held.get(put.sha256.bytes());
        put_at.is_some_and(|at| *at < millis(put.now).saturating_sub(FRESH))
    };
    for put in puts.values().filter(is_stale) {
        let statement = transaction.prepare_cached(PUT_ANEW).await?;
        let params: [Param<'_>; 2] = [&&put.sha256.bytes()[..], &millis(put.now)];
        transaction.execute(&statement, &params).await?;
    }
    Ok(())
}

async fn insert(transaction: &Transaction<'_>, puts: &[&Put<'_>]) -> Done<usize> {
    let cells = puts
        .iter()
        .map(|put| (&put.sha256.bytes()[..], &put.data[..], millis(put.now)));
    let cells: Vec<_> = cells.collect();
    let params = cells
        .iter()
        .map(|(sha256, data, now)| -> [Param<'_>; 3] { [sha256, data, now] });
    let inserted = each(transaction, PUT, &params.collect::<Vec<_>>()).await?;
    Ok(inserted.iter().flatten().count())
}

/// Keeps those of these that are there from being removed, until the transaction is over.
pub(super) async fn hold(
    transaction: &Transaction<'_>,
    payloads: impl Iterator<Item = Digest>,
) -> Done<()> {
    let payloads: Vec<[u8; 32]> = payloads.map(|it| *it.bytes()).collect();
    if !payloads.is_empty() {
        held(transaction, payloads.iter()).await?;
    }
    Ok(())
}

/// When each of these that are there was put.
async fn held(
    transaction: &Transaction<'_>,
    payloads: impl Iterator<Item = &[u8; 32]>,
) -> Done<BTreeMap<[u8; 32], i64>> {
    let payloads: Vec<&[u8]> = payloads.map(|it| &it[..]).collect();
    let statement = transaction.prepare_cached(HOLD).await?;
    let found = transaction.query(&statement, &[&payloads]).await?;
    let read = |row: &Row| Ok((*digest(row)?.bytes(), row.try_get(1)?));
    found.iter().map(read).collect()
}

fn digest(row: &Row) -> Done<Digest> {
    let digest = rows::digest(row.try_get(0)?);
    digest.ok_or_else(|| StoreError::Corrupt("a payload's digest".to_owned()).into())
}

impl Link {
    pub(super) async fn put_data(&self, sha256: Digest, data: &Bytes, now: Time) -> Done<()> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        keep(&transaction, vec![Put { sha256, data, now }]).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn data(&self, sha256: Digest) -> Done<Option<Bytes>> {
        let sql = "SELECT bytes FROM data WHERE sha256 = $1";
        let found = self.rows(sql, &[&&sha256.bytes()[..]]).await?;
        let bytes = found.first().map(|row| row.try_get::<_, Vec<u8>>(0));
        Ok(bytes.transpose()?.map(Bytes::from))
    }

    pub(super) async fn unused(&self, payloads: &[Digest]) -> Done<Vec<Digest>> {
        let sql = "SELECT sha256 FROM unnest($1::BYTEA[]) AS data (sha256) WHERE NOT EXISTS \
                   (SELECT FROM uses WHERE uses.sha256 = data.sha256)";
        let payloads: Vec<&[u8]> = payloads.iter().map(|it| &it.bytes()[..]).collect();
        let found = self.rows(sql, &[&payloads]).await?;
        found.iter().map(digest).collect()
    }

    /// Some of those that nobody needs and nobody has put since; how many were removed, and whether there may be more.
    pub(super) async fn forget_some_data(&self, before: Time) -> Done<(u64, bool)> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let take = format!(
            "SELECT sha256 FROM data WHERE put_at < $1 AND {NOT_USED} \
             ORDER BY put_at LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED"
        );
        let statement = transaction.prepare_cached(&take).await?;
        let taken = transaction.query(&statement, &[&millis(before)]).await?;
        let taken: Vec<&[u8]> = taken
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let remove = format!("DELETE FROM data WHERE sha256 = ANY($1) AND {NOT_USED}");
        let statement = transaction.prepare_cached(&remove).await?;
        let removed = transaction.execute(&statement, &[&taken]).await?;
        transaction.commit().await?;
        Ok((removed, removed > 0))
    }
}
