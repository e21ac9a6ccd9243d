//! What goes on beside the jobs: hosts that say they live, callbacks, and the end of records. Runs no job.

use chrono::TimeDelta;
use tokio_postgres::Row;

use super::failure::Done;
use super::link::Link;
use super::rows::{self, columns, millis, moment};
use crate::jobs::record::{Record, Time};
use crate::jobs::store::{CallbackEnd, Forget, HostSeen, StoreError};
use crate::names::PluginName;

const SEEN: &str = "INSERT INTO hosts (id, plugins, at) VALUES ($1, $2, $3) \
    ON CONFLICT (id) DO UPDATE SET plugins = excluded.plugins, at = excluded.at";

const DUE: &str = concat!(
    "WITH picked AS MATERIALIZED (\
       SELECT id AS picked_id FROM jobs WHERE callback_due <= $1 ORDER BY callback_due, id LIMIT $3 \
       FOR UPDATE SKIP LOCKED) \
     UPDATE jobs SET callback_due = $2, callback_attempts = callback_attempts + 1 \
     FROM picked WHERE id = picked_id RETURNING ",
    columns!(),
);

// A job that runs once more has told nobody yet, whatever its first end comes to.
const TOLD: &str = "UPDATE jobs SET callback_delivered_at = $2, callback_due = $3, callback_error = $4 \
    WHERE id = $1 AND status >= 2 AND callback_url IS NOT NULL";

// Those beyond the latest of a kind are all from the first that is one too many. What somebody else has locked is
// left for another time. (The first bound says nothing new: it is the one that an index can go by.)
const FORGET: &str = "WITH picked AS MATERIALIZED (\
       SELECT old.id AS picked_id FROM (VALUES (0::SMALLINT), (1::SMALLINT)) AS k (k) \
       LEFT JOIN LATERAL (SELECT finished_at, id FROM jobs WHERE status >= 2 AND kind = k.k \
         ORDER BY finished_at DESC, id DESC OFFSET $2 LIMIT 1) AS last ON TRUE \
       CROSS JOIN LATERAL (SELECT id, finished_at FROM jobs \
         WHERE status >= 2 AND kind = k.k AND callback_due IS NULL \
         AND finished_at <= GREATEST($1::BIGINT - 1, last.finished_at) \
         AND (finished_at < $1 OR (finished_at, id) <= (last.finished_at, last.id)) \
         ORDER BY finished_at, id LIMIT $3 FOR UPDATE SKIP LOCKED) AS old \
       ORDER BY old.finished_at, old.id LIMIT $3), \
     gone AS (DELETE FROM jobs USING picked WHERE id = picked_id RETURNING id), \
     free AS (DELETE FROM uses USING picked WHERE job = picked_id) \
     SELECT count(*) FROM gone";

impl Link {
    pub(super) async fn heartbeat(
        &self,
        host: &HostSeen,
        alive_since: Time,
    ) -> Done<Vec<HostSeen>> {
        let plugins: Vec<&str> = host.plugins.iter().map(PluginName::as_str).collect();
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let forgotten = millis(host.at - TimeDelta::days(1));
        let statement = transaction.prepare_cached(SEEN).await?;
        let at = millis(host.at);
        transaction
            .execute(&statement, &[&host.id, &plugins, &at])
            .await?;
        let forget = "DELETE FROM hosts WHERE at < $1 AND id <> $2";
        let statement = transaction.prepare_cached(forget).await?;
        transaction
            .execute(&statement, &[&forgotten, &host.id])
            .await?;
        let list = "SELECT id, plugins, at FROM hosts WHERE at >= $1 OR id = $2 ORDER BY id";
        let statement = transaction.prepare_cached(list).await?;
        let found = transaction
            .query(&statement, &[&millis(alive_since), &host.id])
            .await?;
        transaction.commit().await?;
        found.iter().map(host_seen).collect()
    }

    pub(super) async fn due_callbacks(
        &self,
        now: Time,
        until: Time,
        most: u32,
    ) -> Done<Vec<Record>> {
        let params = (millis(now), millis(until), i64::from(most));
        let due = self.rows(DUE, &[&params.0, &params.1, &params.2]).await?;
        let mut due = rows::records(&due)?;
        due.sort_by_key(|record| (record.finished_at, record.id));
        Ok(due)
    }

    pub(super) async fn end_callback(&self, end: &CallbackEnd) -> Done<()> {
        let (delivered_at, due) = (end.delivered_at.map(millis), end.due.map(millis));
        let error = end.error.as_deref().map(rows::plain);
        self.execute(TOLD, &[&end.job, &delivered_at, &due, &error])
            .await?;
        Ok(())
    }

    pub(super) async fn forget(&self, forget: Forget) -> Done<u64> {
        let keep = i64::try_from(forget.keep).unwrap_or(i64::MAX);
        let (before, most) = (millis(forget.ended_before), i64::from(forget.most));
        let found = self.rows(FORGET, &[&before, &keep, &most]).await?;
        let count = found
            .first()
            .map(|row| row.try_get::<_, i64>(0))
            .transpose()?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }
}

fn host_seen(row: &Row) -> Done<HostSeen> {
    let corrupt = || StoreError::Corrupt("a host's row".to_owned());
    let plugins: Vec<String> = row.try_get(1)?;
    let plugins = plugins
        .iter()
        .map(|name| PluginName::parse(name).map_err(|_| corrupt()));
    Ok(HostSeen {
        id: row.try_get(0)?,
        plugins: plugins.collect::<Result<_, _>>()?,
        at: moment(row.try_get(2)?).ok_or_else(corrupt)?,
    })
}
