//! What every step of the store goes through: a connection that is lent, a bound on how long it may take, and where
//! notices for others go. Knows no statement.

use std::time::Duration;

use deadpool_postgres::{Client, Pool, Transaction};
use futures_util::future::try_join_all;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::Row;

use super::connect::TRYING;
use super::failure::Done;
use super::rows::Param;
use crate::jobs::store::{Notice, StoreError};

/// How long a step may take with all its tries; the server ends a single statement before.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// The way to the server, for all that is to be done there.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) pool: Pool,
    pub(super) told: mpsc::Sender<Notice>,
}

impl Link {
    /// A connection that answers, or is new. Where one does not, none of those that are as old is waited for.
    pub(super) async fn client(&self) -> Done<Client> {
        loop {
            let client = self.pool.get().await?;
            if Client::metrics(&client).recycle_count == 0 || answers(&client).await {
                return Ok(client);
            }
            drop(Client::take(client));
            self.pool.retain(|_, _| false);
        }
    }

    /// The rows of a statement by itself, which is a transaction.
    pub(super) async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Done<Vec<Row>> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }

    /// How many rows a statement by itself has changed.
    pub(super) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Done<u64> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, params).await?)
    }

    /// Tells others. A notice is a hint: one that finds no room is lost.
    pub(super) fn tell(&self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            let _ = self.told.try_send(notice);
        }
    }
}

/// Whether there is still a server at its other end.
async fn answers(client: &Client) -> bool {
    let asked = timeout(TRYING, client.simple_query("")).await;
    asked.is_ok_and(|answer| answer.is_ok())
}

/// Ends a step that takes too long. Its connection is tried before it is used again, and its transaction is undone.
pub(super) async fn bounded<T>(step: impl Future<Output = Done<T>>) -> Result<T, StoreError> {
    let done = timeout(LIMIT, step).await;
    Ok(done.map_err(|_| silent())??)
}

/// What is said of a server that does not answer.
pub(super) fn silent() -> StoreError {
    StoreError::Unreachable(format!("it has not answered for {} s", LIMIT.as_secs()))
}

/// Has the server carry out one statement for each of these parameters, in their order, without waiting in between.
pub(super) async fn each<const N: usize>(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[[Param<'_>; N]],
) -> Done<Vec<Vec<Row>>> {
    let statement = transaction.prepare_cached(sql).await?;
    let all = params.iter().map(|it| transaction.query(&statement, it));
    Ok(try_join_all(all).await?)
}
