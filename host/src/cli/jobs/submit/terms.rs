//! On what terms pictures are submitted, as the command line says. Knows the names of the parameters.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde_json::value::RawValue;

use crate::config::{BadUnit, Span};
use crate::jobs::Priority;

/// What is asked for beside the plugin and the picture.
#[derive(Args)]
pub(super) struct Terms {
    /// The plugin's options, as JSON
    #[arg(long, value_name = "JSON", value_parser = options)]
    options: Option<Box<RawValue>>,
    /// The pictures' MIME type [default: what their bytes say]
    #[arg(long = "type", value_name = "TYPE", value_parser = mime_type)]
    pub(super) mime_type: Option<String>,
    /// Which of the jobs that wait comes first: high, normal or low [default: normal]
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<Priority>,
    /// Run them no earlier: a moment such as 2026-12-24T18:00:00Z, or how long from now, such as 10m
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    not_before: Option<DateTime<Utc>>,
    /// How often each may be begun [default: as the daemon is set up]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: Option<u32>,
    /// Tell this address of each job's end; the daemon must be set up to
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
}

impl Terms {
    /// The options as they were given.
    pub(super) fn options(&self) -> Option<&str> {
        self.options.as_deref().map(RawValue::get)
    }

    /// The parameters of a submission.
    pub(super) fn query(&self, plugin: &str) -> Vec<(&'static str, String)> {
        let not_before = self.not_before.map(stamp);
        let given = [
            ("options", self.options().map(str::to_owned)),
            ("priority", self.priority.map(|it| it.to_string())),
            ("not_before", not_before),
            ("max_attempts", self.max_attempts.map(|it| it.to_string())),
            ("callback_url", self.callback.clone()),
        ];
        let given = given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let plugin = [("plugin", plugin.to_owned())];
        plugin.into_iter().chain(given).collect()
    }
}

fn stamp(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn options(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())
}

/// A type of a picture; those two have another meaning to a daemon.
fn mime_type(text: &str) -> Result<String, String> {
    let read: mime::Mime = text
        .parse()
        .map_err(|error: mime::FromStrError| error.to_string())?;
    if read.type_() == mime::MULTIPART || read.essence_str() == "application/json" {
        return Err("it is no type of a picture".to_owned());
    }
    Ok(text.to_owned())
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    let span: Span = text.parse().map_err(|_: BadUnit| {
        "it is neither a moment such as 2026-12-24T18:00:00Z nor a time such as 10m".to_owned()
    })?;
    let now: DateTime<Utc> = SystemTime::now().into();
    let later = chrono::TimeDelta::from_std(span.duration())
        .ok()
        .and_then(|span| now.checked_add_signed(span));
    later.ok_or_else(|| "it is too far away".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        terms: Terms,
    }

    fn query(arguments: &[&str]) -> Option<Vec<(&'static str, String)>> {
        let line = Line::try_parse_from([&["it"], arguments].concat()).ok()?;
        Some(line.terms.query("tiny"))
    }

    #[test]
    fn terms_become_parameters() {
        let plugin = ("plugin", "tiny".to_owned());
        assert_eq!(query(&[]), Some(vec![plugin.clone()]));
        let all = query(&[
            "--options",
            r#"{"at": 2}"#,
            "--priority",
            "high",
            "--not-before",
            "2026-12-24T19:00:00+01:00",
            "--max-attempts",
            "5",
            "--callback",
            "https://example.com/?a=b&c",
            "--type",
            "image/png",
        ]);
        let expected = [
            ("options", r#"{"at": 2}"#),
            ("priority", "high"),
            ("not_before", "2026-12-24T18:00:00.000Z"),
            ("max_attempts", "5"),
            ("callback_url", "https://example.com/?a=b&c"),
        ];
        let expected = expected.map(|(name, value)| (name, value.to_owned()));
        assert_eq!(all.unwrap(), [&[plugin], &expected[..]].concat());
    }

    #[test]
    fn terms_that_are_none() {
        for bad in [
            ["--options", "{"],
            ["--priority", "urgent"],
            ["--not-before", "tomorrow"],
            ["--max-attempts", "0"],
            ["--max-attempts", "101"],
            ["--type", "png"],
            ["--type", "application/json"],
            ["--type", "multipart/form-data; boundary=x"],
            ["--type", "image/png\r\nx: y"],
        ] {
            assert_eq!(query(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_time_from_now_is_a_moment() {
        let before: DateTime<Utc> = SystemTime::now().into();
        let found = moment("10m").unwrap();
        let least = before + chrono::TimeDelta::minutes(10);
        assert!(found >= least && found <= least + chrono::TimeDelta::minutes(1));
    }
}
