//! What a folder of plugins holds, read without running any of it.

use std::sync::Arc;

use comfy_table::{Cell, Color};
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure, chain};
use super::super::{Common, print};
use crate::loader::{self, Refused, Scan, Staged, StagingArea};

/// Shows the folder that the settings name.
pub(super) fn show(common: Common, json: bool) -> Result<Exit, Failure> {
    let unavailable = |error: &dyn std::error::Error| Failure::new(Exit::Unavailable, chain(error));
    let scratch = tempfile::tempdir().map_err(|error| unavailable(&error))?;
    let config = common.settings(None, Some(scratch.path().to_owned()))?;
    let area = StagingArea::open(scratch.path()).map_err(|error| unavailable(&error))?;
    let scan = loader::scan(&config.plugins.dir, &Arc::new(area))?;
    if json {
        print::document(&document(&scan));
    } else {
        tell(&scan, &config.plugins.dir.display().to_string());
    }
    Ok(Exit::Success)
}

fn document(scan: &Scan) -> Value {
    let good = scan.staged.iter().map(|staged| {
        let manifest = &staged.manifest;
        json!({
            "name": manifest.name,
            "version": manifest.version.to_string(),
            "description": manifest.summary,
            "generation": staged.digest.short(),
            "file": staged.file_name,
            "size": staged.size,
            "accepts": manifest.accepts.patterns(),
            "thread_safe": manifest.thread_safe,
            "lifecycle": "LOADING",
        })
    });
    let refused = scan.refused.iter().map(|refused| {
        json!({
            "name": refused.plugin,
            "file": refused.file,
            "lifecycle": "REJECTED",
            "reason": refused.rejection.explain(),
        })
    });
    json!({ "items": good.chain(refused).collect::<Vec<_>>(), "next_cursor": null })
}

fn tell(scan: &Scan, folder: &str) {
    if scan.staged.is_empty() && scan.refused.is_empty() {
        return print::error(&format!("no plugins in {folder}"));
    }
    let mut table = print::table(&["plugin", "version", "generation", "file", "what it is"]);
    for staged in &scan.staged {
        table.add_row(good(staged));
    }
    for refused in &scan.refused {
        table.add_row(bad(refused));
    }
    print::line(&table.to_string());
}

fn good(staged: &Staged) -> [Cell; 5] {
    let manifest = &staged.manifest;
    let accepts = brief(manifest.accepts.patterns());
    [
        Cell::new(&manifest.name).fg(Color::Green),
        Cell::new(&manifest.version),
        Cell::new(staged.digest.short()),
        Cell::new(&staged.file_name),
        Cell::new(format!("{} ({accepts})", manifest.summary)),
    ]
}

/// The first types, and how many there are besides.
fn brief(accepts: &[String]) -> String {
    match accepts {
        [a, b, c, _, rest @ ..] => format!("{a}, {b}, {c} and {} more", rest.len() + 1),
        few => few.join(", "),
    }
}

fn bad(refused: &Refused) -> [Cell; 5] {
    let name = refused.plugin.as_ref().map_or("-", |name| name.as_str());
    [
        Cell::new(name).fg(Color::Red),
        Cell::new("-"),
        Cell::new("-"),
        Cell::new(&refused.file),
        Cell::new(format!("not served: {}", refused.rejection.explain())).fg(Color::Red),
    ]
}
