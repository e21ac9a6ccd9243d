//! Writing to stdout and stderr. A reader that has gone is no reason to panic.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// How wide a table is where there is no terminal to fit it to, in characters.
const WIDTH_OF_A_FILE: u16 = 120;

/// Why a line on stdout was lost, where it was the first.
static LOST: OnceLock<String> = OnceLock::new();

/// A line on stdout.
pub(super) fn line(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Ok(()) => {}
        // Whoever read has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => drop(LOST.set(error.to_string())),
    }
}

/// Why results did not reach stdout, if so: a full disk, say.
pub(super) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// A JSON document on stdout.
pub(super) fn document(document: &Value) {
    line(&format!("{document:#}"));
}

/// A line on stderr.
pub(super) fn error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether people read what goes to stdout.
pub(super) fn to_people() -> bool {
    io::stdout().is_terminal()
}

/// An empty table that fits the terminal.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !to_people() {
        table.set_width(WIDTH_OF_A_FILE);
    }
    table.set_header(header);
    table
}

/// An empty table of names and their values, without lines between them.
pub(super) fn pairs() -> Table {
    let mut table = table(&[]);
    table.load_style(presets::NOTHING);
    table
}
