//! Follows the parts of a chunked body to its end, without looking at what is in them.

/// How far a chunked body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the length of a part; nothing of it was read yet where there is none.
    Size(Option<u64>),
    /// Behind the length of a part.
    Extension(u64),
    /// Before the line feed behind the length.
    SizeEnd(u64),
    /// So many bytes of the part are to come.
    Data(u64),
    /// Behind the bytes of a part.
    DataCr,
    /// Before the line feed behind them.
    DataEnd,
    /// At the beginning of a line behind the last part.
    Line,
    /// In such a line.
    Trailer,
    /// Before its line feed.
    TrailerEnd,
    /// Before the last line feed.
    LastEnd,
    /// At the end.
    Ended,
}

/// A byte that no chunked body has at its place.
struct Bad;

impl Chunks {
    pub(super) const START: Self = Self::Size(None);

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// Which of them shows that it is none.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<usize, usize> {
        let mut at = 0;
        while at < bytes.len() && *self != Self::Ended {
            if let Self::Data(left) = *self {
                let here = left.min((bytes.len() - at) as u64);
                at += usize::try_from(here).expect("there are as many");
                *self = match left - here {
                    0 => Self::DataCr,
                    left => Self::Data(left),
                };
            } else {
                *self = self.after(bytes[at]).map_err(|Bad| at)?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn after(self, byte: u8) -> Result<Self, Bad> {
        Ok(match (self, byte) {
            (Self::Size(Some(size)), b'\r') | (Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(Some(size)), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), byte) => Self::Size(Some(with_digit(size.unwrap_or(0), byte)?)),
            (Self::Extension(size), byte) if byte != b'\n' => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') => Self::Line,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::Line, b'\r') => Self::LastEnd,
            (Self::LastEnd, b'\n') => Self::Ended,
            (Self::Trailer, b'\r') => Self::TrailerEnd,
            (Self::TrailerEnd, b'\n') => Self::Line,
            (Self::Line | Self::Trailer, byte) if byte != b'\n' => Self::Trailer,
            _ => return Err(Bad),
        })
    }
}

fn with_digit(size: u64, byte: u8) -> Result<u64, Bad> {
    let digit = char::from(byte).to_digit(16).ok_or(Bad)?;
    let size = size.checked_mul(16).ok_or(Bad)?;
    Ok(size | u64::from(digit))
}
