//! What came of a benchmark, to people and to machines.

use serde_json::json;

use super::samples::Row;
use crate::cli::exit::Exit;
use crate::cli::print;

/// Prints the rows. It went well if every call did.
pub(super) fn show(rows: &[Row], json: bool) -> Exit {
    if json {
        rows.iter()
            .for_each(|row| print::line(&json!(row).to_string()));
    } else {
        print::line(&table(rows));
    }
    let problem = rows.iter().find_map(|row| row.problem.as_ref());
    let Some(problem) = problem else {
        return Exit::Success;
    };
    let failed: usize = rows.iter().map(|row| row.failed).sum();
    print::error(&format!(
        "bulkhead: {failed} calls failed; the first: {problem}"
    ));
    Exit::Failed
}

fn table(rows: &[Row]) -> String {
    let mut table = print::table(&[
        "lane", "clients", "calls", "a second", "p50 ms", "p90 ms", "p99 ms", "max ms", "failed",
    ]);
    for row in rows {
        table.add_row([
            row.lane.to_owned(),
            row.clients.to_string(),
            row.calls.to_string(),
            format!("{:.1}", row.calls_per_second),
            format!("{:.3}", row.p50_ms),
            format!("{:.3}", row.p90_ms),
            format!("{:.3}", row.p99_ms),
            format!("{:.3}", row.max_ms),
            row.failed.to_string(),
        ]);
    }
    table.to_string()
}
