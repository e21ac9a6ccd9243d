//! The note in a library's file, which can be read without running anything: put together, and
//! checked, while the library is built.

use super::export::{Declaration, Export, thread_safe};
use super::types::REVISION;

/// The section of the file that says what plugin it is: one ELF note, in all object formats alike.
#[repr(C, align(4))]
pub struct Note<const N: usize> {
    name_len: u32,
    fields_len: u32,
    kind: u32,
    name: [u8; 12],
    fields: [u8; N],
}

impl<const N: usize> Note<N> {
    /// The note of `E`, whose fields are [`note_len`] bytes long. Stops the build where something is
    /// wrong with them.
    pub const fn of<E: Export>() -> Self {
        E::DECLARATION.check();
        let fields = Fields::of::<E>();
        assert!(fields.len == N, "a note is as long as its fields");
        Self {
            name_len: 9,
            fields_len: N as u32,
            kind: 1,
            name: *b"Bulkhead\0\0\0\0",
            fields: fields.bytes,
        }
    }

    #[cfg(test)]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let head = [self.name_len, self.fields_len, self.kind].map(u32::to_ne_bytes);
        [&head.concat()[..], &self.name, &self.fields].concat()
    }
}

/// How many bytes the fields of `E`'s note have.
pub const fn note_len<E: Export>() -> usize {
    Fields::<0>::of::<E>().len
}

/// `key=value` fields, each ended by NUL, as far as they fit.
struct Fields<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// [`REVISION`] as text.
const REVISION_TEXT: &str = "0";
const _: () =
    assert!(REVISION_TEXT.len() == 1 && REVISION_TEXT.as_bytes()[0] as u32 == 48 + REVISION);

impl<const N: usize> Fields<N> {
    const fn of<E: Export>() -> Self {
        let Declaration {
            name,
            version,
            accepts,
            summary,
        } = E::DECLARATION;
        let thread_safe = if thread_safe::<E>() { "true" } else { "false" };
        let start = Self {
            bytes: [0; N],
            len: 0,
        };
        let mut fields = start
            .field("name", name)
            .field("version", version)
            .field("abi", REVISION_TEXT)
            .field("thread_safe", thread_safe);
        let mut at = 0;
        while at < accepts.len() {
            fields = fields.field("accepts", accepts[at]);
            at += 1;
        }
        fields.field("summary", summary)
    }

    const fn field(self, key: &str, value: &str) -> Self {
        self.text(key).text("=").text(value).text("\0")
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() {
            if self.len < N {
                self.bytes[self.len] = text[at];
            }
            self.len += 1;
            at += 1;
        }
        self
    }
}

impl Declaration {
    /// Stops the build unless a host will take it.
    const fn check(&self) {
        check_name(self.name);
        check_summary(self.summary);
        assert!(
            !self.accepts.is_empty(),
            "a plugin accepts one MIME type at least"
        );
        let mut at = 0;
        while at < self.accepts.len() {
            check_mime_type(self.accepts[at]);
            at += 1;
        }
    }
}

const fn check_name(name: &str) {
    let bytes = name.as_bytes();
    assert!(
        !bytes.is_empty() && bytes.len() <= 64,
        "a plugin's name has 1 to 64 characters"
    );
    assert!(
        bytes[0].is_ascii_lowercase(),
        "a plugin's name begins with a letter a-z"
    );
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-'),
            "a plugin's name consists of a-z, 0-9 and -"
        );
        at += 1;
    }
}

const fn check_mime_type(mime_type: &str) {
    let bytes = mime_type.as_bytes();
    let mut slashes = 0;
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            bytes[at].is_ascii_graphic() && !bytes[at].is_ascii_uppercase() && bytes[at] != b';',
            "an accepted MIME type is lower case, without spaces or parameters"
        );
        slashes += (bytes[at] == b'/') as usize;
        at += 1;
    }
    assert!(
        slashes == 1 && bytes[0] != b'/' && bytes[bytes.len() - 1] != b'/',
        "an accepted MIME type reads type/subtype, type/* or */*"
    );
}

const fn check_summary(summary: &str) {
    let bytes = summary.as_bytes();
    assert!(
        !bytes.is_empty() && bytes.len() <= 1024,
        "a summary has 1 to 1,024 bytes"
    );
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            !bytes[at].is_ascii_control(),
            "a summary is one line of text"
        );
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[track_caller]
    fn check(
        name: &'static str,
        accepts: &'static [&'static str],
        summary: &'static str,
        expected: &str,
    ) {
        let declaration = Declaration {
            name,
            version: "1.0.0",
            accepts,
            summary,
        };
        let found = catch_unwind(|| declaration.check()).map_or_else(
            |payload| payload.downcast_ref::<&str>().copied().unwrap_or_default(),
            |()| "fine",
        );
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn a_declaration_that_no_host_takes_stops_the_build() {
        check("a-1", &["image/png", "image/*", "*/*"], "…", "fine");
        check("", &["image/*"], "…", "1 to 64 characters");
        check("1a", &["image/*"], "…", "begins with a letter");
        check("a b", &["image/*"], "…", "consists of a-z");
        check("a", &[], "…", "one MIME type at least");
        check("a", &["image"], "…", "reads type/subtype");
        check("a", &["image/"], "…", "reads type/subtype");
        check("a", &["", "image/*"], "…", "reads type/subtype");
        check("a", &["image/PNG"], "…", "is lower case");
        check("a", &["image/png;q=1"], "…", "is lower case");
        check("a", &["image/*"], "", "1 to 1,024 bytes");
        check("a", &["image/*"], "two\nlines", "one line");
    }
}
