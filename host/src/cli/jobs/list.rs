//! `bulkhead jobs list`: jobs by what they are, the latest first.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::super::at::At;
use super::super::daemon::{Daemon, DaemonError};
use super::super::exit::{Exit, Failure};
use super::super::{plugin_name, print};
use super::tell;
use crate::jobs::Status;

/// The most jobs that a daemon lists in one answer.
const PAGE: usize = 500;

/// List jobs, the latest first
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    at: At,
    /// Only those with this status: pending, running, success, failed or cancelled
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<Status>,
    /// Only those of this plugin
    #[arg(long, value_name = "NAME", value_parser = plugin_name)]
    plugin: Option<String>,
    /// Which kind: jobs that were submitted, analyses that somebody waited for, or all
    #[arg(long, value_name = "KIND", default_value = "job")]
    kind: Kind,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// As many as there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Job,
    Analysis,
    All,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Analysis => "analysis",
            Self::All => "all",
        }
    }
}

impl List {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let json = self.at.json;
        let limit = match self.all {
            true => usize::MAX,
            false => usize::try_from(self.limit).unwrap_or(usize::MAX),
        };
        let filter = Filter {
            status: self.status,
            plugin: self.plugin,
            kind: self.kind,
        };
        let daemon = self.at.daemon()?;
        let mut all = Vec::new();
        let has_more = filter.each_page(&daemon, limit, |page| match json {
            true => page.iter().for_each(|job| print::line(&job.to_string())),
            false => all.extend(page),
        })?;
        if json {
            return Ok(Exit::Success);
        }
        if all.is_empty() {
            print::error("bulkhead: there are no such jobs");
            return Ok(Exit::Success);
        }
        print::line(&tell::list(&all));
        if has_more {
            print::error("there are more: --all lists them, --limit COUNT more of them");
        }
        Ok(Exit::Success)
    }
}

/// Which jobs are listed.
struct Filter {
    status: Option<Status>,
    plugin: Option<String>,
    kind: Kind,
}

impl Filter {
    /// Hands over pages until there are `limit` jobs; gives whether there are more.
    fn each_page(
        &self,
        daemon: &Daemon,
        limit: usize,
        mut take: impl FnMut(Vec<Value>),
    ) -> Result<bool, DaemonError> {
        let mut left = limit;
        let mut cursor: Option<String> = None;
        loop {
            let size = left.min(PAGE).to_string();
            let mut query = vec![("kind", self.kind.as_str()), ("limit", &size)];
            query.extend(self.status.map(|status| ("status", status.as_str())));
            query.extend(self.plugin.as_deref().map(|plugin| ("plugin", plugin)));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page = daemon.find("/v1/jobs", &query)?;
            let Value::Array(items) = page["items"].take() else {
                return Err(daemon.stranger("it answered in a form of its own"));
            };
            left = left.saturating_sub(items.len());
            let is_empty = items.is_empty();
            take(items);
            let next = page["next_cursor"].as_str().map(str::to_owned);
            // A cursor that leads nowhere is not followed for ever.
            if left == 0 || is_empty || next.is_none() || next == cursor {
                return Ok(next.is_some() && left == 0);
            }
            cursor = next;
        }
    }
}

fn status(word: &str) -> Result<Status, String> {
    Status::parse(&word.to_uppercase()).ok_or_else(|| {
        let all = Status::ALL.map(|status| status.as_str().to_lowercase());
        format!("there are {}", all.join(", "))
    })
}
