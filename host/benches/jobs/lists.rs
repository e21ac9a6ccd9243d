//! Looks at a hundred thousand jobs, a page at a time.

use std::time::{Duration, Instant};

use bulkhead::app::App;
use bulkhead::jobs::{Kind, Listing, Status};

use crate::queue::{id, plugin};
use crate::table::{millis, percentile};

/// As many as a page has by default.
const PAGE: u32 = 50;

/// A row for each look.
pub(crate) async fn look(app: &App, waiting: u32, looks: usize) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (name, listing, full) in listings(waiting) {
        let mut took = Vec::new();
        for _ in 0..looks {
            let (began, listing) = (Instant::now(), listing.clone());
            let found = app.jobs.list_jobs(listing).await.unwrap();
            took.push(began.elapsed());
            assert_eq!(found.len() == PAGE as usize, full, "{name}");
        }
        rows.push(row(name, &took));
    }
    rows
}

pub(crate) fn row(name: &str, took: &[Duration]) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend([50, 100].map(|percent| millis(percentile(took, percent))));
    row
}

/// The looks, and whether each finds a whole page.
fn listings(waiting: u32) -> [(&'static str, Listing, bool); 7] {
    let all = Listing {
        kind: Some(Kind::Submitted),
        limit: PAGE,
        ..Listing::default()
    };
    let by = |status: Option<Status>, of: Option<u32>, before: Option<u32>| Listing {
        status,
        plugin: of.map(plugin),
        before: before.map(id),
        ..all.clone()
    };
    let (pending, middle) = (Some(Status::Pending), Some(waiting / 2));
    [
        ("the first page", all.clone(), true),
        ("a page in the middle", by(None, None, middle), true),
        ("by status", by(pending, None, None), true),
        ("by plugin", by(None, Some(3), None), true),
        ("by status and plugin", by(pending, Some(3), None), true),
        (
            "by status and plugin, in the middle",
            by(pending, Some(3), middle),
            true,
        ),
        (
            "by a status that no job has",
            by(Some(Status::Failed), None, None),
            false,
        ),
    ]
}
