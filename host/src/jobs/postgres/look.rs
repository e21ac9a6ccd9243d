//! What is there: jobs one by one, in lists, in numbers, and when the next is due. Changes nothing.

use tokio_postgres::Row;
use uuid::Uuid;

use super::failure::Done;
use super::link::Link;
use super::rows::{self, Param, columns, kind_number, listed_columns, millis, moment};
use crate::jobs::record::{Record, Status, Time};
use crate::jobs::store::{Listing, StoreError};
use crate::names::PluginName;

const GET: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs WHERE id = $1 AND ($2::TEXT IS NULL OR owner = $2)",
);

const TIME: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";

// From one plugin to the next by the index of those that wait, however many wait for each.
const WAITING: &str = concat!(
    "WITH RECURSIVE waiting (name) AS (\
       (SELECT plugin FROM jobs WHERE status = 0 ORDER BY plugin LIMIT 1) UNION ALL \
       SELECT (SELECT plugin FROM jobs WHERE status = 0 AND plugin > name ORDER BY plugin LIMIT 1) \
       FROM waiting WHERE name IS NOT NULL) \
     SELECT ",
    columns!(),
    " FROM waiting JOIN jobs ON plugin = name WHERE name <> ALL($1::TEXT[]) AND status = 0 AND not_before <= $2 \
     ORDER BY not_before, id LIMIT $3",
);

const NEXT: &str = "SELECT min(due) FROM unnest($1::TEXT[]) AS wanted (name) CROSS JOIN (VALUES (0), (1), (2)) AS p (p) \
    CROSS JOIN LATERAL (SELECT not_before AS due FROM jobs WHERE plugin = name AND priority = p.p AND status = 0 \
    ORDER BY not_before LIMIT 1) AS next";

impl Link {
    pub(super) async fn time(&self) -> Done<Time> {
        let now = self.rows(TIME, &[]).await?;
        let now = now.first().and_then(|row| row.try_get(0).ok());
        let now = now.and_then(moment);
        Ok(now.ok_or_else(|| StoreError::Other("its clock shows no time".to_owned()))?)
    }

    pub(super) async fn get(&self, id: Uuid, owner: Option<&str>) -> Done<Option<Record>> {
        let found = self.rows(GET, &[&id, &owner]).await?;
        found.first().map(rows::record).transpose()
    }

    pub(super) async fn list(&self, listing: &Listing) -> Done<Vec<Record>> {
        let status = listing.status.map(Status::number);
        let plugin = listing.plugin.as_ref().map(PluginName::as_str);
        let kind = listing.kind.map(kind_number);
        let limit = i64::from(listing.limit);
        let mut sql = concat!("SELECT ", listed_columns!(), " FROM jobs WHERE TRUE").to_owned();
        let mut params: Vec<Param<'_>> = Vec::new();
        let mut only = |condition: &str, param| {
            params.push(param);
            sql += &format!(" AND {condition} ${}", params.len());
        };
        // Each only where it is asked for: so the server can go by the index that is made for it.
        if let Some(owner) = &listing.owner {
            only("owner =", owner);
        }
        if let Some(status) = &status {
            only("status =", status);
        }
        if let Some(plugin) = &plugin {
            only("plugin =", plugin);
        }
        if let Some(kind) = &kind {
            only("kind =", kind);
        }
        if let Some(before) = &listing.before {
            only("id <", before);
        }
        params.push(&limit);
        sql += &format!(" ORDER BY id DESC LIMIT ${}", params.len());
        let mut listed = rows::records(&self.rows(&sql, &params).await?)?;
        let outcomes = listed.iter_mut().filter_map(|it| it.outcome.as_mut());
        for output in outcomes.flatten() {
            output.result = None;
        }
        Ok(listed)
    }

    pub(super) async fn count(&self) -> Done<Vec<(Status, u64)>> {
        let sql =
            "SELECT status, count(*) FROM jobs WHERE kind = 0 GROUP BY status ORDER BY status";
        let read = |row: &Row| {
            let (status, count): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
            let status = Status::of_number(status.into());
            let status = status.ok_or_else(|| StoreError::Corrupt("a job's status".to_owned()))?;
            Ok((status, count.unsigned_abs()))
        };
        self.rows(sql, &[]).await?.iter().map(read).collect()
    }

    pub(super) async fn waiting_without(
        &self,
        served: &[PluginName],
        due_before: Time,
        most: u32,
    ) -> Done<Vec<Record>> {
        let params: [Param<'_>; 3] = [&names(served), &millis(due_before), &i64::from(most)];
        rows::records(&self.rows(WAITING, &params).await?)
    }

    pub(super) async fn next_due(&self, plugins: &[PluginName]) -> Done<Option<Time>> {
        let found = self.rows(NEXT, &[&names(plugins)]).await?;
        let due = found.first().map(|row| row.try_get::<_, Option<i64>>(0));
        Ok(due.transpose()?.flatten().and_then(moment))
    }
}

fn names(plugins: &[PluginName]) -> Vec<&str> {
    plugins.iter().map(PluginName::as_str).collect()
}
