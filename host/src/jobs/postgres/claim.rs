//! Who runs what: claims, their renewal, and the jobs of hosts that are gone. Knows no outcome.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::failure::Done;
use super::link::{Link, each};
use super::rows::{self, Param, columns, millis};
use crate::jobs::record::{Record, Status, StoredError, Time};
use crate::jobs::store::{Claim, Held, Notice, Reclaim, Renewal};

// Rows that others have locked are passed over, and do not count: so nobody waits, and nobody gets the same. The
// update sees only what was locked, as it is under the lock.
const CLAIM: &str = concat!(
    "WITH picked AS MATERIALIZED (\
       SELECT due.id AS picked_id FROM unnest($1::TEXT[], $2::BIGINT[]) AS wanted (name, most) CROSS JOIN LATERAL (\
         SELECT id FROM jobs WHERE plugin = wanted.name AND status = 0 AND not_before <= $3 \
         ORDER BY priority, not_before, id LIMIT wanted.most FOR UPDATE SKIP LOCKED) AS due) \
     UPDATE jobs SET status = 1, attempt = attempt + 1, fence = fence + 1, host = $4, leased_until = $5, \
       started_at = $3, cancel_asked = FALSE, progress = 0 \
     FROM picked WHERE id = picked_id RETURNING ",
    columns!(),
);

const RENEW: &str = "UPDATE jobs SET leased_until = $3, progress = $4, log = COALESCE($5, log) \
    WHERE id = $1 AND fence = $2 AND status = 1 RETURNING cancel_asked";

// Locked in the order of their ids first: as by everybody who changes several.
const RECLAIM: &str = "UPDATE jobs SET status = CASE WHEN cancel_asked THEN 4 ELSE 0 END, host = NULL, \
    leased_until = NULL, cancel_asked = FALSE, \
    not_before = CASE WHEN cancel_asked THEN not_before ELSE $2 END, \
    finished_at = CASE WHEN cancel_asked THEN GREATEST($2, started_at) END, \
    attempt = CASE WHEN cancel_asked THEN LEAST(attempt, max_attempts) ELSE attempt END, \
    error = CASE WHEN cancel_asked THEN $3 ELSE error END, \
    internal = CASE WHEN cancel_asked THEN $4 ELSE internal END, \
    callback_due = CASE WHEN cancel_asked AND callback_url IS NOT NULL THEN GREATEST($2, started_at) END \
    WHERE id = ANY($1) RETURNING id, status";

impl Link {
    pub(super) async fn claim(&self, claim: &Claim) -> Done<Vec<Record>> {
        let names: Vec<&str> = claim
            .plugins
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let most: Vec<i64> = claim
            .plugins
            .iter()
            .map(|(_, most)| i64::from(*most))
            .collect();
        let (now, until) = (millis(claim.now), millis(claim.until));
        let claimed = self
            .rows(CLAIM, &[&names, &most, &now, &claim.host, &until])
            .await?;
        fail::fail_point!("store.claim.after_commit");
        let mut claimed = rows::records(&claimed)?;
        claimed.sort_by_key(|it| (it.priority, it.not_before, it.id));
        Ok(claimed)
    }

    /// Not in a group: there is one who renews, and it wants to be able to give up one try for another.
    pub(super) async fn renew(&self, renewals: &[Renewal], until: Time) -> Done<Vec<Held>> {
        let until = millis(until);
        let mut order: Vec<usize> = (0..renewals.len()).collect();
        order.sort_by_key(|at| renewals[*at].lease.job);
        let params = order.iter().map(|at| -> [Param<'_>; 5] {
            let Renewal {
                lease,
                progress,
                log,
            } = &renewals[*at];
            [&lease.job, &lease.fence, &until, progress, log]
        });
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let renewed = each(&transaction, RENEW, &params.collect::<Vec<_>>()).await?;
        transaction.commit().await?;
        let mut held = vec![Held::Lost; renewals.len()];
        for (at, rows) in order.into_iter().zip(renewed) {
            held[at] = standing(rows.first())?;
        }
        Ok(held)
    }

    pub(super) async fn reclaim(
        &self,
        which: Reclaim,
        cancelled: &StoredError,
        now: Time,
    ) -> Done<u64> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let ids = left(&transaction, which, now).await?;
        let params: [Param<'_>; 4] = [
            &ids,
            &millis(now),
            &cancelled.error.get(),
            &cancelled.internal.get(),
        ];
        let statement = transaction.prepare_cached(RECLAIM).await?;
        let changed = transaction.query(&statement, &params).await?;
        transaction.commit().await?;
        self.tell(changed.iter().filter_map(|row| {
            let (id, status): (Uuid, i16) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
            let waits = status == Status::Pending.number();
            Some(if waits {
                Notice::Added
            } else {
                Notice::Ended(id)
            })
        }));
        Ok(u64::try_from(changed.len()).expect("they were in memory"))
    }
}

/// The jobs whose hosts are gone, locked.
async fn left(transaction: &Transaction<'_>, which: Reclaim, now: Time) -> Done<Vec<Uuid>> {
    let now = millis(now);
    let found = match &which {
        Reclaim::Expired => {
            let sql = "SELECT id FROM jobs WHERE status = 1 AND leased_until <= $1 ORDER BY id FOR UPDATE";
            let statement = transaction.prepare_cached(sql).await?;
            transaction.query(&statement, &[&now]).await?
        }
        Reclaim::Of(host) => {
            let sql = "SELECT id FROM jobs WHERE status = 1 AND host = $1 ORDER BY id FOR UPDATE";
            let statement = transaction.prepare_cached(sql).await?;
            transaction.query(&statement, &[host]).await?
        }
    };
    let ids = found.iter().map(|row| row.try_get(0));
    Ok(ids.collect::<Result<_, _>>()?)
}

fn standing(row: Option<&Row>) -> Done<Held> {
    Ok(match row.map(|row| row.try_get(0)).transpose()? {
        None => Held::Lost,
        Some(false) => Held::Kept,
        Some(true) => Held::CancelAsked,
    })
}
