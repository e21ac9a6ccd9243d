//! Sizes and durations as people write them. Knows no key and no source.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// A number of bytes, written `"64MiB"`, `"512KiB"`, `"10MB"` (decimal), or as a plain integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; what no memory can hold is the longest length.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let size: bytesize::ByteSize = text
            .trim()
            .parse()
            .map_err(|_| BadUnit::Size(text.to_owned()))?;
        Ok(Self(size.as_u64()))
    }
}

/// The largest unit that needs no fraction, so that what is shown is what was meant.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
            .into_iter()
            .find(|(shift, _)| self.0 != 0 && self.0.is_multiple_of(1 << shift));
        match exact {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A length of time, written `"500ms"`, `"30s"`, `"7d"` or `"1h30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// So many thousandths of a second.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// The same as a `Duration`.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| BadUnit::Span(text.to_owned()))
    }
}

/// Months and years have no length that anybody would recognise: `365d` stays `365days`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 60 * 60;

        let seconds = self.0.as_secs();
        if seconds > DAY && seconds.is_multiple_of(DAY) && self.0.subsec_nanos() == 0 {
            return write!(f, "{}days", seconds / DAY);
        }
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

/// Text that is no size or no duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadUnit {
    /// No size.
    #[error("`{}` is no size: write \"64MiB\", \"512KiB\", \"10MB\" or a number of bytes", .0.escape_debug())]
    Size(String),
    /// No duration.
    #[error("`{}` is no duration: write \"500ms\", \"30s\", \"7d\" or \"1h30m\"", .0.escape_debug())]
    Span(String),
}
