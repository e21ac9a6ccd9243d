//! The types of picture that a plugin takes. Knows nothing of what a request says its type is.

use super::{ManifestError, bad};

/// MIME ranges: `*/*`, `type/*` or `type/subtype`, at least one, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepts(Vec<String>);

impl Accepts {
    pub(super) fn parse(ranges: &[&str]) -> Result<Self, ManifestError> {
        let expected = "`*/*`, `type/*` or `type/subtype` in lower case";
        if ranges.is_empty() {
            return Err(ManifestError::Missing { field: "accepts" });
        }
        match ranges.iter().find(|range| !is_range(range)) {
            Some(range) => Err(bad("accepts", range, expected)),
            None => Ok(Self(ranges.iter().map(ToString::to_string).collect())),
        }
    }

    /// Whether a picture of this type is taken: `image/png`, without parameters, in either case.
    pub fn admits(&self, mime_essence: &str) -> bool {
        mime_essence.split_once('/').is_some_and(|(kind, subtype)| {
            let fits = |wanted: &str, given: &str| {
                !given.is_empty() && (wanted == "*" || wanted.eq_ignore_ascii_case(given))
            };
            self.0
                .iter()
                .filter_map(|range| range.split_once('/'))
                .any(|(wanted, narrower)| fits(wanted, kind) && fits(narrower, subtype))
        })
    }

    /// The ranges as the plugin gave them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn is_range(text: &str) -> bool {
    match text.split_once('/') {
        Some(("*", subtype)) => subtype == "*",
        Some((kind, subtype)) => is_token(kind) && (subtype == "*" || is_token(subtype)),
        None => false,
    }
}

// The characters of RFC 6838; `*` and `/` are none of them.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+');
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_three_forms() {
        for good in ["*/*", "image/*", "image/svg+xml", "application/vnd.a-b_c"] {
            Accepts::parse(&[good]).unwrap();
        }
        for bad in [
            "",
            "image",
            "*",
            "*/png",
            "image/",
            "/png",
            "Image/png",
            "image/png;q=1",
            "a/b/c",
            "image/*x",
        ] {
            Accepts::parse(&[bad]).unwrap_err();
        }
    }

    #[test]
    fn a_range_admits_what_it_covers() {
        let check = |ranges: &[&str], essence, expected| {
            let accepts = Accepts::parse(ranges).unwrap();
            assert_eq!(accepts.admits(essence), expected, "{ranges:?} {essence}");
        };
        check(&["image/*"], "image/png", true);
        check(&["image/*"], "IMAGE/PNG", true);
        check(&["image/*"], "text/plain", false);
        check(&["image/*"], "imagery/png", false);
        check(&["image/*"], "image/", false);
        check(&["image/png", "text/plain"], "text/plain", true);
        check(&["image/png"], "image/pngx", false);
        check(&["*/*"], "a/b", true);
        check(&["*/*"], "nonsense", false);
    }
}
