//! Names that were checked once: plugins, generations, and the nearest of many. Knows no other module.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The name of a plugin: 1 to 64 of `a-z 0-9 -`, the first a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginName(Arc<str>);

impl PluginName {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// Checks `text`, which may come from anybody.
    ///
    /// # Errors
    /// [`BadName`] with the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let rest = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let valid = text.len() <= Self::MAX
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(rest);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(BadName(excerpt(text)))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PluginName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::parse(text)
    }
}

// A map keyed by names can be asked with text that was not checked: what is no name is not in it.
impl std::borrow::Borrow<str> for PluginName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for PluginName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Text that is no name of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no plugin name: 1 to 64 of a-z, 0-9 and -, the first a letter")]
pub struct BadName(String);

/// One build of a plugin: the SHA-256 of its file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// A digest that a hasher has made.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hex digits: enough to tell builds apart, short enough to read out.
    pub fn short(&self) -> String {
        self.0[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// From the 64 lower-case hex digits that it prints as.
impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let byte = |pair: &[u8]| Some(value(pair[0])? << 4 | value(pair[1])?);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs
            .iter()
            .map(|pair| byte(pair))
            .collect::<Option<Vec<_>>>();
        match bytes.map(<[u8; 32]>::try_from) {
            Some(Ok(bytes)) if rest.is_empty() => Ok(Self(bytes)),
            _ => Err(BadDigest(excerpt(text))),
        }
    }
}

/// Text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no SHA-256: 64 of 0-9 and a-f")]
pub struct BadDigest(String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The MIME types that a plugin takes: each `type/subtype`, `type/*` or `*/*`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepts(Box<[String]>);

impl Accepts {
    /// Checks patterns, which may come from anybody.
    ///
    /// # Errors
    /// [`BadAccepts`] with the first that is none, or when there are none at all.
    pub fn parse(patterns: Vec<String>) -> Result<Self, BadAccepts> {
        match patterns.iter().find(|pattern| !is_mime_pattern(pattern)) {
            Some(bad) => Err(BadAccepts(format!("`{}`", excerpt(bad)))),
            None if patterns.is_empty() => Err(BadAccepts("nothing".to_owned())),
            None => Ok(Self(patterns.into())),
        }
    }

    /// Whether the MIME type `found` (lower case, without parameters) is among them.
    pub fn admits(&self, found: &str) -> bool {
        self.0
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some("*/") => found.contains('/'),
                Some(family) => found.starts_with(family),
                None => pattern == found,
            })
    }

    /// The patterns, as they were declared.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

/// Patterns that are none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("accepts {0}, where a lower-case `type/subtype`, `type/*` or `*/*` is expected")]
pub struct BadAccepts(String);

fn is_mime_pattern(text: &str) -> bool {
    let token = |part: &str| {
        let valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+');
        !part.is_empty() && part.bytes().all(valid)
    };
    match text.split_once('/') {
        Some(("*", subtype)) => subtype == "*",
        Some((family, subtype)) => token(family) && (subtype == "*" || token(subtype)),
        None => false,
    }
}

/// All of `candidates`, the nearest to `wanted` first; equally near ones in alphabetical order.
pub fn nearest_first<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let wanted = excerpt(wanted);
    let mut ranked: Vec<_> = candidates
        .into_iter()
        .map(|name| (strsim::osa_distance(&wanted, name), name))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// The candidate that `wanted` was probably meant to be, if any is near enough to be worth naming.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = nearest_first(wanted, candidates).into_iter().next()?;
    (strsim::osa_distance(wanted, best) <= 2.max(wanted.chars().count() / 3)).then_some(best)
}

/// What may be quoted of text from outside: printable and short.
fn excerpt(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(PluginName::MAX)
        .flat_map(char::escape_default)
        .collect();
    if text.chars().nth(PluginName::MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for good in ["a", "image-info", "p2", &"x".repeat(64)] {
            assert_eq!(PluginName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "A",
            "2p",
            "-a",
            "a_b",
            "../../x",
            "a\0",
            "é",
            "a b",
            &"x".repeat(65),
        ] {
            PluginName::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn a_bad_name_is_quoted_short_and_printable() {
        let message = PluginName::parse(&"\0".repeat(10_000))
            .unwrap_err()
            .to_string();
        assert!(message.len() < 600, "{message}");
        assert!(!message.contains('\0'));
    }

    #[test]
    fn the_nearest_comes_first() {
        assert_eq!(
            nearest_first("pallete", ["qr", "palette", "phash"])[0],
            "palette"
        );
        assert_eq!(nearest("lisen", ["listen", "state"]), Some("listen"));
        assert_eq!(nearest("zzz", ["listen", "state"]), None);
    }

    #[test]
    fn patterns_admit_what_they_say() {
        let accepts =
            |patterns: &[&str]| Accepts::parse(patterns.iter().map(|p| (*p).to_owned()).collect());
        let some = accepts(&["image/png", "video/*"]).unwrap();
        assert!(some.admits("image/png") && some.admits("video/mp4"));
        assert!(!some.admits("image/gif") && !some.admits("image") && !some.admits(""));
        assert!(accepts(&["*/*"]).unwrap().admits("application/x-ours"));
        for bad in [
            "",
            "image",
            "*/png",
            "Image/png",
            "image/png; q=1",
            "image/",
            "/png",
            "a/b/c",
        ] {
            accepts(&[bad]).unwrap_err();
        }
        accepts(&[]).unwrap_err();
    }

    #[test]
    fn a_digest_prints_as_hex() {
        let digest = Digest::new([0xab; 32]);
        assert_eq!(digest.short(), "abababababab");
        assert_eq!(digest.to_string().len(), 64);
    }

    #[test]
    fn a_digest_is_read_as_it_prints() {
        let digest = Digest::new(std::array::from_fn(|at| u8::try_from(at * 8).unwrap()));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in [
            "",
            "00",
            &"0".repeat(63),
            &"0".repeat(65),
            &"0".repeat(66),
            &"A".repeat(64),
            &"g".repeat(64),
            &"+1".repeat(32),
            &"é".repeat(32),
        ] {
            bad.parse::<Digest>().unwrap_err();
        }
    }
}
