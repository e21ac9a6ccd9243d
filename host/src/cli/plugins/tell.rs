//! What a daemon says of plugins, for people. A field that an older or newer daemon does not have
//! is left out.

use comfy_table::{Cell, Color, Table};
use serde_json::Value;

use super::super::daemon::{one_line, text};
use super::super::print;
use super::served::Action;

/// A table of all plugins and refused files, as a page of them says.
pub(super) fn list(page: &Value) -> Option<String> {
    let items = page["items"].as_array()?;
    if items.is_empty() {
        return Some("the daemon has no plugins".to_owned());
    }
    let mut table = print::table(&[
        "plugin",
        "version",
        "generation",
        "lane",
        "lifecycle",
        "calls",
        "errors",
        "in flight",
        "note",
    ]);
    for item in items {
        table.add_row(row(item));
    }
    Some(table.to_string())
}

/// All that is known of one plugin, and its generations in a table of their own.
pub(super) fn plugin(status: &Value) -> Option<String> {
    let facts = facts(status)?;
    let generations = status["generations"].as_array();
    Some(match generations.filter(|all| !all.is_empty()) {
        Some(all) => format!("{facts}\n{}", self::generations(all)),
        None => facts.to_string(),
    })
}

/// How a plugin stands after what was done to it.
pub(super) fn outcome(action: Action, status: &Value) -> Option<String> {
    let name = one_line(status["name"].as_str()?);
    let build = build(status);
    let again = match action {
        Action::Rollback | Action::Enable => " again",
        Action::Reload | Action::Disable => "",
    };
    Some(match status["lifecycle"].as_str()? {
        "READY" => format!("{name} serves {build}{again}"),
        "LOADING" => format!("{name} opens {build} with its next call"),
        "DISABLED" if action == Action::Disable => {
            format!("{name} is disabled: its calls are refused until it is enabled")
        }
        other => {
            let state = one_line(other).to_lowercase();
            let reason = text(&status["reason"]).map(|reason| format!(": {reason}"));
            format!("{name} is {state}{}", reason.unwrap_or_default())
        }
    })
}

/// `generation 0123456789ab (1.2.0)`
fn build(status: &Value) -> String {
    let generation = text(&status["generation"]).unwrap_or_default();
    let version = text(&status["version"]).unwrap_or_default();
    format!("generation {generation} ({version})")
}

fn row(item: &Value) -> Vec<Cell> {
    let lifecycle = text(&item["lifecycle"]).unwrap_or_default();
    let color = match lifecycle.as_str() {
        "READY" => Color::Green,
        "LOADING" | "DISABLED" => Color::Yellow,
        _ => Color::Red,
    };
    let cells = ["name", "version", "generation", "lane"].map(|key| cell(text(&item[key])));
    let [name, rest @ ..] = cells;
    let mut row = vec![name.fg(color)];
    row.extend(rest);
    row.push(Cell::new(lifecycle).fg(color));
    row.push(cell(calls(item)));
    row.push(cell(text(&item["error_count"])));
    row.push(cell(text(&item["in_flight"])));
    row.push(Cell::new(note(item)));
    row
}

fn cell(text: Option<String>) -> Cell {
    Cell::new(text.as_deref().unwrap_or("-"))
}

/// How many calls have ended, well or not.
fn calls(item: &Value) -> Option<String> {
    let [well, badly] = ["success_count", "error_count"].map(|key| item[key].as_u64());
    Some(well?.saturating_add(badly?).to_string())
}

/// What is out of the ordinary.
fn note(item: &Value) -> String {
    let reason = text(&item["reason"]).map(|reason| match text(&item["version"]) {
        Some(_) => reason,
        // A file that is not served has no version to know it by.
        None => format!(
            "{}: {reason}",
            text(&item["file"]).unwrap_or_else(|| "a file".to_owned())
        ),
    });
    let generations = item["generations"].as_array().into_iter().flatten();
    let canaries = generations.filter_map(|generation| {
        let id = text(&generation["generation"])?;
        Some(format!("{id} is on trial, {}", canary(generation)?))
    });
    let notes = reason.into_iter().chain(held(item)).chain(canaries);
    notes.collect::<Vec<_>>().join("; ")
}

/// Why the file's present bytes are not what serves.
fn held(item: &Value) -> Option<String> {
    match &item["file_invalid"] {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some("its file is not good at present".to_owned()),
        other => Some(format!("its file is not good at present: {}", text(other)?)),
    }
}

/// The share of the calls that a generation on trial gets.
fn canary(generation: &Value) -> Option<String> {
    match &generation["canary"] {
        Value::Number(percent) if percent.as_f64() != Some(0.0) => {
            Some(format!("{percent} % of calls"))
        }
        Value::Bool(true) => Some("a part of the calls".to_owned()),
        _ => None,
    }
}

/// What is told of a plugin, and how it is called.
const FACTS: [(&str, &str); 20] = [
    ("plugin", "/name"),
    ("version", "/version"),
    ("what it is", "/description"),
    ("file", "/file"),
    ("generation", "/generation"),
    ("lane", "/lane"),
    ("lifecycle", "/lifecycle"),
    ("reason", "/reason"),
    ("file at present", "/file_invalid"),
    ("accepts", "/accepts"),
    ("required", "/required"),
    ("calls that went well", "/success_count"),
    ("calls that did not", "/error_count"),
    ("crashes", "/crashes"),
    ("killed by force", "/forced_kills"),
    ("in flight", "/in_flight"),
    ("queued", "/queued"),
    ("last used", "/last_used"),
    ("median, ms", "/latency_ms/p50"),
    ("last error", "/last_error/message"),
];

fn facts(status: &Value) -> Option<Table> {
    status["name"].as_str()?;
    let mut table = print::pairs();
    for (label, path) in FACTS {
        if let Some(value) = status.pointer(path).and_then(text) {
            table.add_row([label, &value]);
        }
    }
    Some(table)
}

/// A table, and beneath it why some of them do not serve: that is too long for a cell.
fn generations(all: &[Value]) -> String {
    let mut table = print::table(&[
        "generation",
        "version",
        "lifecycle",
        "since",
        "in flight",
        "calls",
        "errors",
        "crashes",
        "share",
    ]);
    for generation in all {
        let mut row = ["generation", "version", "lifecycle", "since", "in_flight"]
            .map(|key| cell(text(&generation[key])))
            .to_vec();
        row.push(cell(calls(generation)));
        row.extend(["error_count", "crashes"].map(|key| cell(text(&generation[key]))));
        row.push(Cell::new(canary(generation).unwrap_or_default()));
        table.add_row(row);
    }
    let reasons = all.iter().filter_map(|generation| {
        let id = text(&generation["generation"])?;
        Some(format!(
            "\n{id} does not serve: {}",
            text(&generation["reason"])?
        ))
    });
    format!("{table}{}", reasons.collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_line_says_how_a_plugin_stands() {
        let status = |lifecycle: &str, reason: Option<&str>| {
            json!({
                "name": "palette", "version": "1.2.0", "generation": "0123456789ab",
                "lifecycle": lifecycle, "reason": reason,
            })
        };
        let build = "generation 0123456789ab (1.2.0)";
        for (action, lifecycle, reason, expected) in [
            (
                Action::Rollback,
                "READY",
                None,
                "palette serves BUILD again",
            ),
            (Action::Reload, "READY", None, "palette serves BUILD"),
            (Action::Enable, "READY", None, "palette serves BUILD again"),
            (
                Action::Enable,
                "LOADING",
                None,
                "palette opens BUILD with its next call",
            ),
            (
                Action::Disable,
                "DISABLED",
                None,
                "palette is disabled: its calls are refused until it is enabled",
            ),
            (
                Action::Reload,
                "DISABLED",
                Some("by hand"),
                "palette is disabled: by hand",
            ),
            (
                Action::Enable,
                "QUARANTINED",
                Some("3 crashes\nin 60 s"),
                "palette is quarantined: 3 crashes in 60 s",
            ),
        ] {
            let found = outcome(action, &status(lifecycle, reason)).unwrap();
            assert_eq!(found, expected.replace("BUILD", build), "{action:?}");
        }
        assert_eq!(outcome(Action::Reload, &json!({ "name": 1 })), None);
        assert_eq!(outcome(Action::Reload, &json!([])), None);
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_noted() {
        for (item, expected) in [
            (json!({ "name": "qr", "version": "1.0.0" }), ""),
            (
                json!({ "version": "1.0.0", "reason": "disabled" }),
                "disabled",
            ),
            (
                json!({ "file": "libqr.so", "reason": "truncated" }),
                "libqr.so: truncated",
            ),
            (
                json!({ "version": "1.0.0", "file_invalid": "truncated" }),
                "its file is not good at present: truncated",
            ),
            (
                json!({ "version": "1.0.0", "file_invalid": false, "generations": [
                    { "generation": "0123456789ab", "canary": 5 },
                    { "generation": "ba9876543210", "canary": null },
                ] }),
                "0123456789ab is on trial, 5 % of calls",
            ),
        ] {
            assert_eq!(note(&item), expected, "{item}");
        }
    }

    #[test]
    fn generations_are_told_in_a_table_of_their_own() {
        let all = [
            json!({
                "generation": "0123456789ab", "version": "1.2.0", "lifecycle": "READY", "since": "2026-11-22T00:00:00Z",
                "in_flight": 1, "success_count": 40, "error_count": 2, "crashes": 0, "canary": 10, "reason": null,
            }),
            json!({
                "generation": "ba9876543210", "lifecycle": "REJECTED", "reason": "it could not start",
            }),
        ];
        let table = generations(&all);
        for expected in [
            "0123456789ab",
            "READY",
            " 42 ",
            "10 % of calls",
            "\nba9876543210 does not serve: it could not start",
        ] {
            assert!(table.contains(expected), "{expected}\n{table}");
        }
    }
}
