//! Follows the requests of a connection through its bytes: looks at heads, steps over bodies.

use super::Fault;
use super::chunks::Chunks;
use super::head::{Delimited, Head};

/// What no parser takes for a part of a head.
const POISON: u8 = 0;
/// The first byte of a TLS connection.
const TLS: u8 = 0x16;

/// Where the next byte belongs.
#[derive(Debug)]
enum State {
    Head(Head),
    Body(u64),
    Chunks(Chunks),
    /// Nothing that comes is a request's.
    Over,
}

/// What was seen of a connection.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    is_begun: bool,
    heads: u64,
    fault: Option<Fault>,
    is_owing: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Head(Head::default()),
            line: Vec::new(),
            is_begun: false,
            heads: 0,
            fault: None,
            is_owing: false,
        }
    }
}

impl Scanner {
    /// Looks at what has come, and says how much of it may go on to the parser. Where a head is at fault, the last of
    /// these bytes is made one that the parser refuses: what came before is answered first, as ever. Where a chunked
    /// body is at fault it is made the first half of a line's end, which the parser takes in every place or refuses; what
    /// [owed](Self::owed) gives is no second half.
    pub(super) fn scan(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            at += match &mut self.state {
                State::Head(_) => match self.scan_line(&bytes[at..]) {
                    Ok(passed) => passed,
                    Err((fault, passed)) => {
                        at += passed;
                        bytes[at - 1] = POISON;
                        self.fault = Some(fault);
                        self.state = State::Over;
                        return at;
                    }
                },
                State::Body(left) => {
                    let here = (*left).min((bytes.len() - at) as u64);
                    *left -= here;
                    self.end_body();
                    usize::try_from(here).expect("there are as many")
                }
                State::Chunks(chunks) => match chunks.follow(&bytes[at..]) {
                    Ok(passed) => {
                        self.end_body();
                        passed
                    }
                    Err(bad) => {
                        at += bad;
                        bytes[at] = b'\r';
                        self.state = State::Over;
                        self.is_owing = true;
                        return at + 1;
                    }
                },
                State::Over => return at,
            };
        }
        at
    }

    /// How many heads have begun.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether nothing more is to reach the parser.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What is still to reach the parser when all is over.
    pub(super) fn owed(&mut self) -> &'static [u8] {
        match std::mem::take(&mut self.is_owing) {
            true => &[POISON],
            false => &[],
        }
    }

    /// What is wrong with the latest head.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Takes in a line, or the beginning of one.
    fn scan_line(&mut self, bytes: &[u8]) -> Result<usize, (Fault, usize)> {
        if !self.is_begun {
            self.is_begun = true;
            self.heads += 1;
            if bytes[0] == TLS {
                return Err((Fault::Tls, 1));
            }
        }
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        let State::Head(head) = &mut self.state else {
            return Ok(0);
        };
        let passed = end + 1;
        let delimited = if self.line.is_empty() {
            head.take(&bytes[..end])
        } else {
            self.line.extend_from_slice(&bytes[..end]);
            let taken = head.take(&self.line);
            self.line.clear();
            taken
        };
        match delimited.map_err(|fault| (fault, passed))? {
            None => {}
            Some(Delimited::Length(length)) => self.state = State::Body(length),
            Some(Delimited::Chunked) => self.state = State::Chunks(Chunks::START),
        }
        self.end_body();
        Ok(passed)
    }

    /// Behind a body comes the next head.
    fn end_body(&mut self) {
        if matches!(self.state, State::Body(0) | State::Chunks(Chunks::Ended)) {
            self.state = State::Head(Head::default());
            self.is_begun = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes on to the parser, however the bytes were cut, and what was found.
    fn check(bytes: &str, passed: &str, heads: u64, fault: Option<Fault>) {
        for size in [1, 2, 3, 7, bytes.len()] {
            let mut scanner = Scanner::default();
            let mut seen = Vec::new();
            for part in bytes.as_bytes().chunks(size) {
                let mut part = part.to_vec();
                let count = scanner.scan(&mut part);
                seen.extend_from_slice(&part[..count]);
            }
            let seen = String::from_utf8(seen).unwrap();
            assert_eq!(seen, passed, "{size} bytes at a time");
            assert_eq!(
                (scanner.heads(), scanner.fault()),
                (heads, fault),
                "{bytes}"
            );
            assert_eq!(
                scanner.is_over(),
                seen.len() < bytes.len() || fault.is_some()
            );
        }
    }

    fn fine(bytes: &str, heads: u64) {
        check(bytes, bytes, heads, None);
    }

    fn faulty(line: &str, fault: Fault) {
        let fine = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
        let head = "POST / HTTP/1.1\r\nHost: a\r\n";
        let bad = line.strip_suffix('\n').unwrap();
        let bytes = format!("{fine}{head}{line}\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        check(&bytes, &format!("{fine}{head}{bad}\0"), 2, Some(fault));
    }

    #[test]
    fn requests_follow_each_other() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        fine(&get.repeat(3), 3);
        fine(&format!("\r\n{get}"), 1);
        let length = "POST / HTTP/1.1\r\nhost: a\r\ncontent-LENGTH:\t 13 \r\n\r\nGET / \n HTTP\n";
        fine(&format!("{length}{get}"), 2);
        let twice = "POST / HTTP/1.0\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n\n\n";
        fine(&format!("{twice}{get}"), 2);
        let chunked = "POST / HTTP/1.1\r\nHOST:\r\nTransfer-Encoding: Chunked\r\n\r\n";
        let bodies = [
            "0\r\n\r\n",
            "A\r\n0123\n\r\n789\r\n2 ;x=\"y\"\r\nab\r\n0\r\n\r\n",
            "001\r\n\n\r\n000\r\nX: y\r\nZ: \r\n\r\n",
        ];
        for body in bodies {
            fine(&format!("{chunked}{body}{get}{chunked}{body}"), 3);
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_does_not_pass() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        faulty(
            "Content-Length: 2\r\nTRANSFER-encoding: chunked\r\n",
            Fault::LengthAndEncoding,
        );
        faulty(
            &format!("{chunked}Content-Length: 0\r\n"),
            Fault::LengthAndEncoding,
        );
        faulty(
            "Content-Length: 2\r\nX: y\r\nContent-Length: 3\r\n",
            Fault::TwoLengths,
        );
        for bad in [
            "",
            " ",
            "+2",
            "-2",
            "2, 2",
            "0x2",
            "2 2",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
        ] {
            faulty(&format!("Content-Length:{bad}\r\n"), Fault::BadLength);
        }
        for bad in [
            "gzip",
            "gzip, chunked",
            "chunked, chunked",
            "xchunked",
            "\u{b}chunked",
            "",
        ] {
            faulty(&format!("Transfer-Encoding:{bad}\r\n"), Fault::Encoding);
        }
        faulty(&format!("{chunked}{chunked}"), Fault::Encoding);
        faulty("X: y\r\n z\r\n", Fault::FoldedLine);
        faulty("X: y\r\n\tz\r\n", Fault::FoldedLine);
        faulty("X: y\n", Fault::BareLineFeed);
        faulty("\n", Fault::BareLineFeed);
        faulty("host: a\r\n", Fault::TwoHosts);
        faulty("Host: b\r\n", Fault::TwoHosts);
        for head in ["GET / HTTP/1.1\r\n\r", "GET / HTTP/1.1\r\nXHost: a\r\n\r"] {
            let bytes = format!("{head}\n");
            check(&bytes, &format!("{head}\0"), 1, Some(Fault::NoHost));
        }
        check(
            "GET / HTTP/1.1\nHost: a\r\n",
            "GET / HTTP/1.1\0",
            1,
            Some(Fault::BareLineFeed),
        );
        check("\nGET / HTTP/1.1\r\n", "\0", 1, Some(Fault::BareLineFeed));
        check("\u{16}\u{3}\u{1}", "\0", 1, Some(Fault::Tls));
    }

    #[test]
    fn nothing_follows_what_is_no_chunked_body() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for bad in [
            "z",
            "\r",
            "1\n",
            "1;\n",
            "10000000000000000",
            "1\r\naa",
            "1\r\na\n",
            "0\r\nX\n",
            "0\r\n\n",
            "0\r\n\ra",
        ] {
            let mut bytes = format!("{head}{bad}").into_bytes();
            let mut scanner = Scanner::default();
            assert_eq!(scanner.scan(&mut bytes), head.len() + bad.len());
            assert!(scanner.is_over(), "{bad:?}");
            assert_eq!(bytes.last(), Some(&b'\r'), "{bad:?}");
            assert_eq!((scanner.owed(), scanner.owed()), (&[0][..], &[][..]));
            assert_eq!(scanner.scan(&mut b"GET / HTTP/1.1\r\n".to_vec()), 0);
        }
    }
}
