//! Quantities with limits. What lies outside is refused while it is read, when the place is still known.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use super::units::{BadUnit, ByteSize, Span};

/// A `T` from `MIN` to `MAX`, both included: bytes for a size, milliseconds for a duration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within<T, const MIN: u64, const MAX: u64>(pub(super) T);

impl<'de, T: Quantity, const MIN: u64, const MAX: u64> Deserialize<'de> for Within<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithinVisitor(PhantomData))
    }
}

/// What can be counted and compared.
pub(super) trait Quantity: PartialOrd + fmt::Display {
    /// What was expected, where something else was found.
    const FORM: &'static str;

    /// So many of the unit that limits are given in.
    fn of(count: u64) -> Self;

    /// A number without a unit, where that says enough.
    fn bare(number: u64) -> Option<Self>
    where
        Self: Sized;

    /// Text with a unit, where there are units.
    fn with_unit(text: &str) -> Option<Result<Self, BadUnit>>
    where
        Self: Sized;
}

impl Quantity for u64 {
    const FORM: &'static str = "a whole number";

    fn of(count: u64) -> Self {
        count
    }

    fn bare(number: u64) -> Option<Self> {
        Some(number)
    }

    fn with_unit(_: &str) -> Option<Result<Self, BadUnit>> {
        None
    }
}

impl Quantity for ByteSize {
    const FORM: &'static str = "a size such as \"64MiB\",";

    fn of(count: u64) -> Self {
        Self::new(count)
    }

    fn bare(number: u64) -> Option<Self> {
        Some(Self::new(number))
    }

    fn with_unit(text: &str) -> Option<Result<Self, BadUnit>> {
        Some(text.parse())
    }
}

impl Quantity for Span {
    const FORM: &'static str = "a duration such as \"30s\",";

    fn of(count: u64) -> Self {
        Self::millis(count)
    }

    fn bare(_: u64) -> Option<Self> {
        None
    }

    fn with_unit(text: &str) -> Option<Result<Self, BadUnit>> {
        Some(text.parse())
    }
}

struct WithinVisitor<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T: Quantity, const MIN: u64, const MAX: u64> WithinVisitor<T, MIN, MAX> {
    fn hold<E: Error>(&self, value: T, found: Unexpected<'_>) -> Result<Within<T, MIN, MAX>, E> {
        if (T::of(MIN)..=T::of(MAX)).contains(&value) {
            Ok(Within(value))
        } else {
            Err(E::invalid_value(found, self))
        }
    }
}

impl<T: Quantity, const MIN: u64, const MAX: u64> Visitor<'_> for WithinVisitor<T, MIN, MAX> {
    type Value = Within<T, MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (T::of(MIN), T::of(MAX));
        write!(f, "{} from {min} to {max}", T::FORM)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        let found = Unexpected::Unsigned(number);
        match T::bare(number) {
            Some(value) => self.hold(value, found),
            None => Err(E::invalid_type(found, &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let found = Unexpected::Str(text);
        match T::with_unit(text) {
            Some(value) => self.hold(value.map_err(E::custom)?, found),
            None => Err(E::invalid_type(found, &self)),
        }
    }
}
