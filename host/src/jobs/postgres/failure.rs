//! What an error of the server or of the way to it means for whoever uses the store. Knows no statement.

use std::error::Error;
use std::time::Duration;

use deadpool_postgres::PoolError;

use crate::jobs::store::StoreError;

/// How often what the server could not do beside others is tried.
const TRIES: u32 = 5;

/// Why a step did not do what it should. Its transaction is undone.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server says so, or does not say anything any more.
    Sql(tokio_postgres::Error),
    /// There is no connection to be had.
    Pool(PoolError),
    /// Somebody else was in between, and another try will see what they have done.
    Raced(&'static str),
    /// What is there cannot be read.
    Store(StoreError),
}

/// What a step does.
pub(super) type Done<T> = Result<T, Failure>;

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) | Failure::Pool(PoolError::Backend(error)) => of_sql(&error),
            Failure::Pool(error) => Self::Unreachable(text(&error)),
            Failure::Raced(what) => Self::Unreachable(format!("{what}, again and again")),
            Failure::Store(error) => error,
        }
    }
}

/// Counts the tries of one step.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether it is to be tried again; waits until then.
    pub(super) async fn again(&mut self, failure: &Failure) -> bool {
        self.0 += 1;
        let is_worth_it = match failure {
            // A serialization failure, a deadlock.
            Failure::Sql(error) => error
                .code()
                .is_some_and(|code| matches!(code.code(), "40001" | "40P01")),
            Failure::Raced(_) => true,
            Failure::Pool(_) | Failure::Store(_) => false,
        };
        if !is_worth_it || self.0 >= TRIES {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2 << self.0)).await;
        true
    }
}

/// Tries a step again where others were in its way.
macro_rules! tried {
    ($step:expr) => {{
        let mut tries = $crate::jobs::postgres::failure::Tries::default();
        loop {
            match $step.await {
                Err(failure) if tries.again(&failure).await => {}
                other => break other,
            }
        }
    }};
}

pub(super) use tried;

/// An error with all that it comes from.
pub(super) fn text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn of_sql(error: &tokio_postgres::Error) -> StoreError {
    let Some(error) = error.as_db_error() else {
        // The server has said nothing of it: the way to it is gone.
        return StoreError::Unreachable(text(error));
    };
    of_code(error.code().code(), error.message())
}

fn of_code(code: &str, message: &str) -> StoreError {
    let text = format!("{message} ({code})");
    match (code, code.get(..2).unwrap_or_default()) {
        // Too many connections: no room for us, but for jobs.
        ("53300", _) => StoreError::Unreachable(text),
        (_, "53") => StoreError::Full(text),
        // A standby that became the server we reach, a statement that took too long, a lock that nobody gave.
        ("25006" | "57014" | "55P03" | "40001" | "40P01", _) => StoreError::Unreachable(text),
        // Connections that break, who may come in, a server that stops or starts.
        (_, "08" | "28" | "57") => StoreError::Unreachable(text),
        ("XX001" | "XX002", _) => StoreError::Corrupt(text),
        _ => StoreError::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_means_what_is_to_be_done() {
        let check = |code, expected: &str| {
            let found = format!("{:?}", of_code(code, "it says so"));
            assert!(found.starts_with(expected), "{code}: {found}");
        };
        check("53100", "Full");
        check("53200", "Full");
        check("53300", "Unreachable");
        check("57P01", "Unreachable");
        check("57014", "Unreachable");
        check("08006", "Unreachable");
        check("25006", "Unreachable");
        check("40P01", "Unreachable");
        check("XX001", "Corrupt");
        check("42P01", "Other");
        check("", "Other");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_were_in_the_way_of_is_tried_a_few_times() {
        let mut count = 0;
        let mut step = async || -> Done<()> {
            count += 1;
            Err(Failure::Raced("somebody else was there"))
        };
        let failure = tried!(step()).unwrap_err();
        assert_eq!(count, TRIES);
        let error = StoreError::from(failure).to_string();
        assert!(error.contains("somebody else was there"), "{error}");
    }
}
