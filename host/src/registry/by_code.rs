//! Something for each code of the contract, made when a code is first met. Reading and counting take no lock.

use std::sync::OnceLock;

use crate::error::Code;

/// More than there are codes.
const PLACES: usize = 48;

/// Something for each code that was met.
#[derive(Debug)]
pub(super) struct ByCode<T> {
    places: [OnceLock<Box<(Code, T)>>; PLACES],
}

impl<T> Default for ByCode<T> {
    fn default() -> Self {
        Self {
            places: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl<T: Default> ByCode<T> {
    /// That of a code.
    pub(super) fn of(&self, code: Code) -> &T {
        let place = &self.places[code as usize];
        &place.get_or_init(|| Box::new((code, T::default()))).1
    }

    /// Those of all codes that were met.
    pub(super) fn all(&self) -> impl Iterator<Item = (Code, &T)> {
        let met = self.places.iter().filter_map(OnceLock::get);
        met.map(|place| (place.0, &place.1))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[test]
    fn the_last_code_has_a_place() {
        let counts = ByCode::<AtomicU64>::default();
        counts.of(Code::Internal).fetch_add(2, Relaxed);
        counts.of(Code::MalformedRequest).fetch_add(1, Relaxed);
        let all: Vec<_> = counts
            .all()
            .map(|(code, count)| (code, count.load(Relaxed)))
            .collect();
        assert_eq!(all, [(Code::MalformedRequest, 1), (Code::Internal, 2)]);
    }
}
