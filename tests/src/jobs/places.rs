//! Where the stores under test keep their jobs: in memory, in a folder, in a database. Knows how each is opened.

use std::sync::Arc;

use bulkhead::jobs::{PostgresStore, SharedStore, SqliteStore};
use futures_util::future::BoxFuture;
use tempfile::TempDir;

use super::bench::{Handles, Place};
use super::faulty::{Faulty, Mutant};
use super::model::Model;
use crate::postgres::Postgres;

/// In memory, for as long as somebody holds it: the model.
pub struct Memory(SharedStore);

impl Memory {
    /// A new model.
    pub fn new() -> Self {
        Self::with(Mutant::Sound)
    }

    /// A new model behind a fault.
    pub fn with(mutant: Mutant) -> Self {
        let model = Arc::new(Model::default());
        Self(Arc::new(Faulty::new(model, mutant)))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Place for Memory {
    fn open(&self) -> BoxFuture<'_, Handles> {
        let handles = Handles::of_one(self.0.clone());
        Box::pin(async { handles })
    }
}

/// A folder for SQLite.
pub struct Folder(TempDir);

impl Folder {
    /// A new one.
    ///
    /// # Panics
    /// Where none can be made.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Place for Folder {
    fn open(&self) -> BoxFuture<'_, Handles> {
        Box::pin(async { Handles::of_one(Arc::new(SqliteStore::open(self.0.path()).unwrap())) })
    }
}

/// A database of PostgreSQL, which two hosts share.
pub struct Database(String);

impl Database {
    /// A new one on the server that tests share; `None`, aloud, where there is no server.
    pub fn new() -> Option<Self> {
        Some(Self(Postgres::shared()?.database()))
    }

    async fn connect(&self) -> SharedStore {
        Arc::new(PostgresStore::connect(&self.0, None).await.unwrap())
    }
}

impl Place for Database {
    fn open(&self) -> BoxFuture<'_, Handles> {
        Box::pin(async {
            Handles {
                store: self.connect().await,
                other: self.connect().await,
            }
        })
    }
}
