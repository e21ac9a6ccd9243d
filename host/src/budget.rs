//! The bytes of all requests in flight, so that no flood of them takes the host's memory. Knows no
//! request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::CallError;

/// When a caller that was turned away should come back. A guess: bytes go with every answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many bytes of requests the host bears at a time; clones share one count.
#[derive(Clone, Debug)]
pub struct Budget(Arc<State>);

#[derive(Debug)]
struct State {
    limit: u64,
    in_flight: AtomicU64,
    refused: AtomicU64,
}

/// Some of the budget's bytes, given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(State {
            limit,
            in_flight: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Takes `bytes` of it.
    ///
    /// # Errors
    /// `overloaded` where there are not as many left.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, CallError> {
        let mut reservation = Reservation {
            budget: self.clone(),
            bytes: 0,
        };
        reservation.grow(bytes).map(|()| reservation)
    }

    /// How many bytes there are.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// How often somebody wanted more than was left.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// How many of its bytes are taken.
    pub fn in_flight(&self) -> u64 {
        self.0.in_flight.load(Relaxed)
    }
}

impl Reservation {
    /// Takes `more` bytes besides.
    ///
    /// # Errors
    /// `overloaded` where there are not as many left; what was taken before stays.
    pub fn grow(&mut self, more: u64) -> Result<(), CallError> {
        let state = &self.budget.0;
        let within = |taken: u64| taken.checked_add(more).filter(|sum| *sum <= state.limit);
        let grown = state.in_flight.fetch_update(Relaxed, Relaxed, within);
        grown.map_err(|in_flight| {
            state.refused.fetch_add(1, Relaxed);
            CallError::OverBudget {
                in_flight,
                limit: state.limit,
                retry_after: RETRY_AFTER,
            }
        })?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let spare = self.bytes.saturating_sub(bytes);
        self.budget.0.in_flight.fetch_sub(spare, Relaxed);
        self.bytes -= spare;
    }

    /// Hands over `bytes` of its own, or as many as it has: they are given back by themselves.
    pub fn split_off(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let budget = self.budget.clone();
        Self { budget, bytes }
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_in_the_end() {
        let budget = Budget::new(10);
        let mut first = budget.reserve(4).unwrap();
        let second = budget.reserve(6).unwrap();
        assert_eq!(budget.in_flight(), 10);
        let refused = first.grow(1).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "requests of 10 bytes are in flight, and 10 is the limit"
        );
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
        drop(second);
        first.grow(5).unwrap();
        first.shrink_to(7);
        assert_eq!((first.bytes(), budget.in_flight()), (7, 7));
        drop(first);
        assert_eq!(budget.in_flight(), 0);
        let mut whole = budget.reserve(10).unwrap();
        let part = whole.split_off(3);
        assert_eq!(
            (whole.bytes(), part.bytes(), budget.in_flight()),
            (7, 3, 10)
        );
        assert_eq!(whole.split_off(8).bytes(), 7);
        assert_eq!((whole.bytes(), budget.in_flight()), (0, 3));
        drop(part);
        assert_eq!(budget.in_flight(), 0);
        budget.reserve(11).unwrap_err();
        budget.reserve(u64::MAX).unwrap_err();
        assert_eq!((budget.refused(), budget.limit()), (3, 10));
    }
}
