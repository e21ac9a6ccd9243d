//! What a plugin says of itself, as bytes in a section of its file. Knows no file formats and runs nothing.
//!
//! The section is one note: sizes of name and text, type 1, the name `Bulkhead`, then `key=value` fields, each
//! ended by a NUL. Unknown keys are passed over, so that a newer SDK can add some.

mod note;

use bulkhead_plugin::abi::REVISION as ABI_REVISION;
use object::Endianness;
use semver::Version;
use thiserror::Error;

pub(super) use note::find_name;

use super::rejection::excerpt;
use crate::names::{Accepts, BadAccepts, PluginName};

const MAX_SUMMARY: usize = 1 << 10;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The plugin's name.
    pub name: PluginName,
    /// Its own version.
    pub version: Version,
    /// The ABI revision that it was built for.
    pub abi: u32,
    /// Whether it takes several calls at a time.
    pub thread_safe: bool,
    /// The types of picture that it takes.
    pub accepts: Accepts,
    /// One line for people.
    pub summary: String,
}

impl Manifest {
    /// Reads the contents of the section, which may be any bytes.
    ///
    /// # Errors
    /// [`ManifestError`] naming the field and what was found in it.
    pub fn parse(section: &[u8], endian: Endianness) -> Result<Self, ManifestError> {
        let mut fields = Fields::default();
        for field in note::fields(note::text(section, endian)?)? {
            fields.add(field)?;
        }
        // Another revision may mean other fields, so it is judged before them.
        let abi = revision(required("abi", fields.abi)?)?;
        Ok(Self {
            abi,
            name: name(required("name", fields.name)?)?,
            version: version(required("version", fields.version)?)?,
            thread_safe: fields.thread_safe.map_or(Ok(false), thread_safe)?,
            accepts: accepts(&fields.accepts)?,
            summary: fields.summary.map_or(Ok(String::new()), summary)?,
        })
    }
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(
    missing_docs,
    reason = "the text of each variant says what its fields are"
)]
pub enum ManifestError {
    #[error("its manifest has {size} bytes and may have {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("its manifest is no note of type 1 named `Bulkhead` but starts with `{found}`")]
    NotANote { found: String },
    #[error("its manifest's text has {found} bytes and says that it has {expected}")]
    CutShort { found: usize, expected: usize },
    #[error("it has more than one manifest")]
    TwoNotes,
    #[error("its manifest's last field `{found}` does not end in a NUL")]
    NoFinalNul { found: String },
    #[error("its manifest has the field `{found}` without a `=`")]
    NoKey { found: String },
    #[error("its manifest's field `{field}` is not UTF-8 but `{found}`")]
    NotUtf8 { field: String, found: String },
    #[error("its manifest has no field `{field}`")]
    Missing { field: &'static str },
    #[error("its manifest has the field `{field}` twice, the second time as `{found}`")]
    Twice { field: &'static str, found: String },
    #[error("its manifest's field `{field}` is `{found}`, and should be {expected}")]
    Bad {
        field: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error("its manifest {0}")]
    BadAccepts(#[from] BadAccepts),
    #[error("its manifest names ABI revision {found} and this host speaks {expected}")]
    Revision { found: u32, expected: u32 },
    #[error("it has a manifest but exports no root module `{symbol}`")]
    NoRootModule { symbol: &'static str },
}

/// The fields as they stand in the text.
#[derive(Default)]
struct Fields<'a> {
    name: Option<&'a str>,
    version: Option<&'a str>,
    abi: Option<&'a str>,
    thread_safe: Option<&'a str>,
    summary: Option<&'a str>,
    accepts: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn add(&mut self, (key, value): (&'a str, &'a str)) -> Result<(), ManifestError> {
        let (field, slot) = match key {
            "name" => ("name", &mut self.name),
            "version" => ("version", &mut self.version),
            "abi" => ("abi", &mut self.abi),
            "thread_safe" => ("thread_safe", &mut self.thread_safe),
            "summary" => ("summary", &mut self.summary),
            "accepts" => {
                self.accepts.push(value);
                return Ok(());
            }
            _ => return Ok(()),
        };
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(ManifestError::Twice {
                field,
                found: excerpt(value.as_bytes()),
            }),
        }
    }
}

fn required<'a>(field: &'static str, value: Option<&'a str>) -> Result<&'a str, ManifestError> {
    value.ok_or(ManifestError::Missing { field })
}

fn revision(value: &str) -> Result<u32, ManifestError> {
    let found = value
        .parse()
        .map_err(|_| bad("abi", value, "a whole number"))?;
    if found == ABI_REVISION {
        Ok(found)
    } else {
        Err(ManifestError::Revision {
            found,
            expected: ABI_REVISION,
        })
    }
}

fn name(value: &str) -> Result<PluginName, ManifestError> {
    let expected = "1 to 64 of a-z, 0-9 and -, the first a letter";
    PluginName::parse(value).map_err(|_| bad("name", value, expected))
}

fn version(value: &str) -> Result<Version, ManifestError> {
    Version::parse(value).map_err(|_| bad("version", value, "a semantic version like 1.2.3"))
}

fn accepts(ranges: &[&str]) -> Result<Accepts, ManifestError> {
    if ranges.is_empty() {
        return Err(ManifestError::Missing { field: "accepts" });
    }
    Ok(Accepts::parse(
        ranges.iter().map(ToString::to_string).collect(),
    )?)
}

fn thread_safe(value: &str) -> Result<bool, ManifestError> {
    value
        .parse()
        .map_err(|_| bad("thread_safe", value, "`true` or `false`"))
}

fn summary(value: &str) -> Result<String, ManifestError> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if value.len() > MAX_SUMMARY || value.contains(breaks) {
        return Err(bad(
            "summary",
            value,
            "one line of at most 1024 bytes without control characters",
        ));
    }
    Ok(value.to_owned())
}

fn bad(field: &'static str, found: &str, expected: &'static str) -> ManifestError {
    ManifestError::Bad {
        field,
        found: excerpt(found.as_bytes()),
        expected,
    }
}

#[cfg(test)]
mod tests;
