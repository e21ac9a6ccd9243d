//! Whether somebody may be told: by the URL alone, before anything is sent or looked up.

use std::net::IpAddr;

use ureq::http::Uri;

use super::addresses::is_public;
use crate::config::Callbacks;

/// The longest URL.
const MAX_URL: usize = 2048;

/// Whether `url` may be told of the end of a job. What its name leads to is another question, asked when it is told.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn check(url: &str, settings: &Callbacks) -> Result<(), String> {
    let uri = parse(url)?;
    let host = host(&uri)?;
    if settings.hosts.is_empty() {
        return Err(
            "this host tells nobody: its operator names no `hosts` in [jobs.callbacks]".to_owned(),
        );
    }
    if !settings.hosts.iter().any(|pattern| pattern.matches(host)) {
        return Err(format!(
            "`{host}` is none of the `hosts` that the operator names in [jobs.callbacks]"
        ));
    }
    match host.parse::<IpAddr>() {
        Ok(address) if !settings.internal && !is_public(address) => Err(format!(
            "`{host}` is no public address, and the operator has not set `internal` in [jobs.callbacks]"
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The parser is the one of whoever sends: what is checked is what is used.
fn parse(url: &str) -> Result<Uri, String> {
    if url.len() > MAX_URL {
        return Err(format!("a URL has at most {MAX_URL} bytes"));
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "a URL has ASCII letters, digits and signs only: percent-encode others".to_owned(),
        );
    }
    let no_url = |_| "it is no URL: write \"https://host/path\"".to_owned();
    let uri: Uri = url.parse().map_err(no_url)?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        Some(_) | None => Err("a URL begins with `https://` or `http://`".to_owned()),
    }
}

/// The host that it names, without the brackets of an address.
fn host(uri: &Uri) -> Result<&str, String> {
    let authority = uri.authority().ok_or("the URL names no host")?;
    let (all, host) = (authority.as_str(), authority.host());
    if all.contains('@') {
        return Err(
            "a URL with a user name or a password is not taken: the signature proves who calls"
                .to_owned(),
        );
    }
    let port = all.strip_prefix(host).unwrap_or_default();
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return Err("a port is a number from 1 to 65535".to_owned());
    }
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    Ok(bare.unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    #[test]
    fn hosts_that_the_operator_names_are_told() {
        let settings = settings(&["example.com", "*.example.org", "8.8.8.8", "2606:4700::1111"]);
        for url in [
            "https://example.com",
            "http://EXAMPLE.com:8080/a?b=c%20d",
            "HTTPS://a.b.example.org/",
            "https://8.8.8.8/x",
            "https://[2606:4700::1111]:443/x",
            "https://example.com/#fragment",
        ] {
            assert_eq!(check(url, &settings), Ok(()), "{url}");
        }
    }

    #[test]
    fn others_are_not() {
        let settings = settings(&[
            "example.com",
            "*.example.org",
            "127.0.0.1",
            "::ffff:10.0.0.1",
        ]);
        let long = format!("https://example.com/{}", "x".repeat(2048));
        for (url, part) in [
            ("https://evil.com/", "`evil.com` is none of the `hosts`"),
            ("https://example.com.evil.com/", "is none of the `hosts`"),
            ("https://evil.com/?example.com", "is none of the `hosts`"),
            ("https://evil.com#@example.com/", "is none of the `hosts`"),
            ("https://example.org/", "is none of the `hosts`"),
            ("https://example.com./", "is none of the `hosts`"),
            ("https://2130706433/", "is none of the `hosts`"),
            ("https://0x7f.1/", "is none of the `hosts`"),
            ("https://8.8.8.8/", "is none of the `hosts`"),
            ("http://127.0.0.1/", "is no public address"),
            ("http://[::ffff:10.0.0.1]/", "is no public address"),
            ("https://user@example.com/", "user name or a password"),
            ("https://a:b@example.com/", "user name or a password"),
            ("https://example.com@evil.com/", "user name or a password"),
            ("https://example.com:0/", "a port is a number"),
            ("https://example.com:99999/", "a port is a number"),
            ("https://example.com:/", "a port is a number"),
            ("ftp://example.com/", "begins with `https://`"),
            ("file:///etc/passwd", ""),
            ("example.com/x", ""),
            ("/x", "begins with `https://`"),
            ("https://", "no URL"),
            ("", "no URL"),
            ("https://exämple.com/", "percent-encode"),
            ("https://example.com/a b", "percent-encode"),
            ("https://example.com/\r\nx: y", "percent-encode"),
            ("https://evil.com\\@example.com/", ""),
            (&long, "at most 2048 bytes"),
        ] {
            let refused = check(url, &settings).expect_err(url);
            assert!(refused.contains(part), "{url}: {refused}");
        }
    }

    #[test]
    fn nobody_is_told_where_nobody_is_named() {
        let refused = check("https://example.com/", &Callbacks::default());
        assert!(refused.unwrap_err().contains("tells nobody"));
    }

    #[test]
    fn an_operator_may_name_addresses_of_their_own() {
        let settings = Callbacks {
            internal: true,
            ..settings(&["127.0.0.1"])
        };
        assert_eq!(check("http://127.0.0.1:9/", &settings), Ok(()));
    }
}
