//! `GET /v1/jobs`: a page of jobs, the latest first.

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use uuid::Uuid;

use super::super::Api;
use super::super::access::Caller;
use super::super::analyze::fields;
use super::super::answer::Failure;
use super::super::query::{self, KIND};
use super::record::{self, Job, View};
use super::terms::refused;
use crate::error::CallError;
use crate::jobs::{Kind, Listing, Status};
use crate::names::PluginName;

const PARAMETERS: [&str; 5] = ["status", "plugin", "kind", "limit", "cursor"];
/// What there is, and what stands for it.
pub(in crate::http) const KINDS: [(&str, Option<Kind>); 3] = [
    (record::kind(Kind::Submitted), Some(Kind::Submitted)),
    (record::kind(Kind::Analysis), Some(Kind::Analysis)),
    ("all", None),
];
/// How many jobs a page has, where nobody says.
pub(in crate::http) const LIMIT: u32 = 50;
/// The most jobs of one page.
pub(in crate::http) const MAX_LIMIT: u32 = 500;

/// A list in the contract's form.
#[derive(Serialize)]
struct Page<'a> {
    items: Vec<Job<'a>>,
    next_cursor: Option<Uuid>,
}

/// `GET /v1/jobs`
pub(in crate::http) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Failure> {
    let mut listing = read(&uri)?;
    listing.owner = caller.sees().map(str::to_owned);
    let limit = listing.limit as usize;
    let records = api.services.jobs.list_jobs(listing).await?;
    let view = View::now(&api, &caller);
    let last = records.last().filter(|_| records.len() >= limit);
    let page = Page {
        next_cursor: last.map(|it| it.id),
        items: records.iter().map(|it| view.item(it)).collect(),
    };
    Ok(Json(page).into_response())
}

fn read(uri: &Uri) -> Result<Listing, CallError> {
    let (mut status, mut plugin, mut kind) = (None, None, None);
    let (mut limit, mut cursor) = (None, None);
    for (name, value) in query::pairs(uri)? {
        let put = match &*name {
            "status" => fields::put(&mut status, status_of(&value)?, KIND, &name),
            "plugin" => {
                let name_of = PluginName::parse(&value).map_err(CallError::malformed)?;
                fields::put(&mut plugin, name_of, KIND, &name)
            }
            "kind" => fields::put(&mut kind, kind_of(&value)?, KIND, &name),
            "limit" => fields::put(&mut limit, limit_of(&value)?, KIND, &name),
            "cursor" => fields::put(&mut cursor, cursor_of(&value)?, KIND, &name),
            other => Err(fields::unknown(KIND, other, &PARAMETERS)),
        };
        put.map_err(CallError::malformed)?;
    }
    Ok(Listing {
        owner: None,
        status,
        plugin,
        kind: kind.unwrap_or(Some(Kind::Submitted)),
        before: cursor,
        limit: limit.unwrap_or(LIMIT),
    })
}

fn status_of(word: &str) -> Result<Status, CallError> {
    let all = Status::ALL.map(Status::as_str);
    Status::parse(word).ok_or_else(|| refuse("status", word, &all))
}

fn kind_of(word: &str) -> Result<Option<Kind>, CallError> {
    let mut kinds = KINDS.into_iter();
    let found = kinds.find(|(known, _)| *known == word);
    found
        .map(|(_, kind)| kind)
        .ok_or_else(|| refuse("kind", word, &KINDS.map(|(known, _)| known)))
}

fn limit_of(text: &str) -> Result<u32, CallError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = is_number.then(|| text.parse().ok()).flatten();
    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| {
        let wanted = format!("send a whole number from 1 to {MAX_LIMIT}");
        refused(&format!("{KIND} `limit`"), text, wanted)
    })
}

fn cursor_of(text: &str) -> Result<Uuid, CallError> {
    Uuid::parse_str(text).map_err(|_| {
        let wanted = "send the `next_cursor` of the page before";
        refused(&format!("{KIND} `cursor`"), text, wanted)
    })
}

fn refuse(name: &str, found: &str, known: &[&str]) -> CallError {
    let wanted = format!("there are {}", known.join(", "));
    refused(&format!("{KIND} `{name}`"), found, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(query: &str) -> Result<Listing, String> {
        let uri = format!("/v1/jobs{query}").parse().unwrap();
        read(&uri).map_err(|error| error.to_string())
    }

    #[test]
    fn without_filters_the_latest_that_were_submitted_are_listed() {
        let all = listing("").unwrap();
        assert_eq!((all.status, all.plugin, all.before), (None, None, None));
        assert_eq!((all.kind, all.limit), (Some(Kind::Submitted), 50));
    }

    #[test]
    fn every_filter_is_handed_on() {
        for status in Status::ALL {
            let query = format!("?status={}", status.as_str());
            assert_eq!(listing(&query).unwrap().status, Some(status));
        }
        for (word, kind) in KINDS {
            assert_eq!(listing(&format!("?kind={word}")).unwrap().kind, kind);
        }
        let id = Uuid::now_v7();
        let some = listing(&format!("?plugin=echo&limit=500&cursor={id}")).unwrap();
        assert_eq!(some.plugin, Some(PluginName::parse("echo").unwrap()));
        assert_eq!((some.limit, some.before), (500, Some(id)));
    }

    #[test]
    fn what_is_not_known_names_what_is() {
        let refuses = |query: &str, expected: &str| {
            assert_eq!(listing(query).unwrap_err(), expected);
        };
        refuses(
            "?status=DONE",
            "query parameter `status` is `DONE`: there are PENDING, RUNNING, SUCCESS, FAILED, CANCELLED",
        );
        refuses(
            "?kind=jobs",
            "query parameter `kind` is `jobs`: there are job, analysis, all",
        );
        for limit in ["0", "501", "", "-1", "1.5", "99999999999"] {
            let expected =
                format!("query parameter `limit` is `{limit}`: send a whole number from 1 to 500");
            refuses(&format!("?limit={limit}"), &expected);
        }
        refuses(
            "?cursor=3",
            "query parameter `cursor` is `3`: send the `next_cursor` of the page before",
        );
        refuses(
            "?plugin=No",
            "`No` is no plugin name: 1 to 64 of a-z, 0-9 and -, the first a letter",
        );
        refuses(
            "?stats=FAILED",
            "unknown query parameter `stats`, did you mean `status`?",
        );
        refuses("?limit=1&limit=2", "duplicate query parameter `limit`");
    }
}
