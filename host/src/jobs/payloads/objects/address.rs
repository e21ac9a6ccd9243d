//! Where in S3 payloads lie, as `s3://bucket/prefix` says it. Knows no server.

use object_store::path::Path;

use super::super::PayloadError;

/// A bucket, and what the names in it begin with.
pub(super) struct Address {
    pub(super) bucket: String,
    pub(super) prefix: Path,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, PayloadError> {
        let bad = |why: &str| PayloadError::Other(format!("`{url}`: {why}"));
        let rest = url.strip_prefix("s3://");
        let rest = rest.ok_or_else(|| bad("payloads in S3 are at `s3://bucket/prefix`"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name_byte =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_name_byte) {
            return Err(bad(
                "a bucket's name has 3 to 63 of `a-z`, `0-9`, `-` and `.`",
            ));
        }
        let prefix = Path::parse(prefix).map_err(|error| bad(&error.to_string()))?;
        let bucket = bucket.to_owned();
        Ok(Self { bucket, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_bucket_and_a_prefix() {
        let check = |url: &str, bucket: &str, prefix: &str| {
            let address = Address::parse(url).unwrap();
            let found = (address.bucket.as_str(), address.prefix.as_ref());
            assert_eq!(found, (bucket, prefix), "{url}");
        };
        check("s3://jobs", "jobs", "");
        check("s3://jobs/", "jobs", "");
        check("s3://my-jobs.eu/a/b", "my-jobs.eu", "a/b");
        check("s3://jobs/a/", "jobs", "a");
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for url in [
            "",
            "s3:",
            "s3://",
            "s3:///a",
            "s3://ab",
            "s3://JOBS/a",
            "s3://user@jobs/a",
            "https://jobs.example.com",
            "s3://jobs/../a",
        ] {
            let error = Address::parse(url).err().expect(url).to_string();
            assert!(error.contains(&format!("`{url}`")), "{error}");
        }
    }
}
