//! What the head of a request says of its body's length, and of whom it is sent to, where two readers of the same bytes
//! could disagree.

use super::Fault;

const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";
const HOST: &[u8] = b"host";
/// The version that has to name its host.
const NAMES_HOST: &[u8] = b" HTTP/1.1";
/// Beyond that the parser has numbers that mean something else than a length.
const MAX_LENGTH: u64 = u64::MAX >> 1;

/// A head, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Head {
    is_begun: bool,
    needs_host: bool,
    has_host: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimited {
    /// It has so many bytes.
    Length(u64),
    /// Each of its parts says its length.
    Chunked,
}

impl Head {
    /// Takes in a line, which ended with a line feed; says at the last one what follows.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Option<Delimited>, Fault> {
        let line = line.strip_suffix(b"\r").ok_or(Fault::BareLineFeed)?;
        match line.first() {
            // Some clients send an empty line behind a body.
            None if !self.is_begun => Ok(None),
            None => self.end().map(Some),
            Some(_) if !self.is_begun => {
                self.is_begun = true;
                self.needs_host = line.ends_with(NAMES_HOST);
                Ok(None)
            }
            Some(b' ' | b'\t') => Err(Fault::FoldedLine),
            Some(_) => self.field(line).map(|()| None),
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        if let Some(value) = value_of(LENGTH, line) {
            let length = number(value).ok_or(Fault::BadLength)?;
            if self.length.is_some_and(|earlier| earlier != length) {
                return Err(Fault::TwoLengths);
            }
            self.length = Some(length);
        } else if let Some(value) = value_of(ENCODING, line) {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Encoding);
            }
            self.is_chunked = true;
        } else if value_of(HOST, line).is_some() && std::mem::replace(&mut self.has_host, true) {
            return Err(Fault::TwoHosts);
        }
        if self.is_chunked && self.length.is_some() {
            return Err(Fault::LengthAndEncoding);
        }
        Ok(())
    }

    fn end(&self) -> Result<Delimited, Fault> {
        match self.is_chunked {
            _ if self.needs_host && !self.has_host => Err(Fault::NoHost),
            true => Ok(Delimited::Chunked),
            false => Ok(Delimited::Length(self.length.unwrap_or(0))),
        }
    }
}

/// A header's value, where `line` is of that header.
fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    text.parse().ok().filter(|length| *length <= MAX_LENGTH)
}
