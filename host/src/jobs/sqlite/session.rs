//! One connection with the statements that it has prepared, for the thread that owns it. Knows SQL, but no job.

use std::cell::RefCell;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::{Connection, Params, Row, Statement};

use crate::jobs::store::StoreError;

/// Why a step did not do what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite says so.
    Sql(rusqlite::Error),
    /// What was asked for cannot be; nothing is wrong with the database as a whole.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// What a step does.
pub(super) type Done<T> = Result<T, Failure>;

/// A connection, and each of its statements prepared once.
pub(super) struct Session<'c> {
    connection: &'c Connection,
    statements: RefCell<HashMap<&'static str, Statement<'c>, RandomState>>,
}

impl<'c> Session<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            statements: RefCell::default(),
        }
    }

    /// Carries out a statement that gives nothing, and says how many rows it has changed.
    pub(super) fn execute(&self, sql: &'static str, params: impl Params) -> Done<usize> {
        self.with(sql, |statement| Ok(statement.execute(params)?))
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Done<T>,
    ) -> Done<Option<T>> {
        self.with(sql, |statement| {
            let mut rows = statement.query(params)?;
            let Some(first) = rows.next()?.map(read).transpose()? else {
                return Ok(None);
            };
            // What changes rows has done so for sure only when it is at its end.
            while rows.next()?.is_some() {}
            Ok(Some(first))
        })
    }

    /// All rows.
    pub(super) fn all<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Done<T>,
    ) -> Done<Vec<T>> {
        self.with(sql, |statement| {
            statement.query_and_then(params, read)?.collect()
        })
    }

    /// Whether a transaction is open.
    pub(super) fn is_within(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Ends a transaction as though it had never been, if one is open: an error may have ended it already.
    pub(super) fn roll_back(&self) -> Done<()> {
        if self.is_within() {
            self.execute("ROLLBACK", ())?;
        }
        Ok(())
    }

    fn with<T>(
        &self,
        sql: &'static str,
        run: impl FnOnce(&mut Statement<'c>) -> Done<T>,
    ) -> Done<T> {
        let mut statements = self.statements.borrow_mut();
        if !statements.contains_key(sql) {
            statements.insert(sql, self.connection.prepare(sql)?);
        }
        run(statements.get_mut(sql).expect("it has just been prepared"))
    }
}
