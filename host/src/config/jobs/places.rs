//! Where jobs and their bytes lie, as the file says it. Opens nothing.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::harmless;
use super::postgres::{self, PostgresUrl};

/// Where the records of jobs are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StorePlace {
    /// In a file of the state folder.
    Sqlite,
    /// In a database that several hosts may share.
    Postgres(PostgresUrl),
}

impl TryFrom<String> for StorePlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "sqlite" {
            return Ok(Self::Sqlite);
        }
        if postgres::is_meant(&text) {
            return PostgresUrl::parse(text).map(Self::Postgres);
        }
        let found = harmless(&text);
        Err(format!(
            "{found} is no store of jobs: write \"sqlite\", or \"{}\"",
            postgres::FORM
        ))
    }
}

/// Where the bytes of images and results are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PayloadPlace {
    /// In files of the state folder.
    Files,
    /// In files of this folder, which several hosts may share.
    Folder(PathBuf),
    /// In the store of the jobs itself.
    Database,
    /// In a bucket: its URL, `s3://bucket` with or without `/prefix`.
    S3(String),
}

impl TryFrom<String> for PayloadPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "files" => Ok(Self::Files),
            "database" => Ok(Self::Database),
            url if is_bucket(url) => Ok(Self::S3(text)),
            path if Path::new(path).is_absolute() && !path.contains('\0') => {
                Ok(Self::Folder(PathBuf::from(text)))
            }
            other => Err(format!(
                "{} is no place for payloads: write \"files\", \"database\", \"s3://bucket/prefix\", or the absolute \
                 path of a folder",
                harmless(other)
            )),
        }
    }
}

/// Whether this is the URL of a bucket. Its keys come from the environment: there is no room for them here.
fn is_bucket(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("s3://") else {
        return false;
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_prefix = |byte: u8| is_name(byte) || b"/!*'()=+".contains(&byte);
    let climbs = || prefix.split('/').any(|part| part == "." || part == "..");
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(is_name)
        && prefix.len() <= 512
        && prefix.bytes().all(is_prefix)
        && !climbs()
}
