//! Writing to stdout and stderr. A reader that has gone is no reason to panic.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use clap::ColorChoice;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// How wide a table is where there is no terminal to fit it to, in characters.
const WIDTH_OF_A_FILE: u16 = 120;

/// Why a line on stdout was lost, where it was the first.
static LOST: OnceLock<String> = OnceLock::new();

/// What people have said of colour, else that it is for terminals.
static COLOUR: OnceLock<bool> = OnceLock::new();

/// From now on all is coloured or not as `choice` says; `auto` is left to terminals, but where the environment forbids it.
pub(super) fn set_colour(choice: ColorChoice, is_forbidden: bool) {
    let colour = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if is_forbidden => false,
        ColorChoice::Auto => return,
    };
    let _ = COLOUR.set(colour);
    // The first to say how reports look wins; nobody else does.
    let _ = miette::set_hook(Box::new(move |_| {
        Box::new(miette::MietteHandlerOpts::new().color(colour).build())
    }));
}

/// Whether what goes there is coloured, where people read it or not.
pub(super) fn is_coloured(to_people: bool) -> bool {
    COLOUR.get().copied().unwrap_or(to_people)
}

/// A line on stdout.
pub(super) fn line(text: &str) {
    reaches(format!("{text}\n").as_bytes());
}

/// Bytes on stdout, as they are.
pub(super) fn bytes(bytes: &[u8]) {
    reaches(bytes);
}

/// Writes bytes to stdout, and says whether they got there.
pub(super) fn reaches(bytes: &[u8]) -> bool {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    let is_there = written.is_ok();
    match written {
        Ok(()) => {}
        // Whoever read has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => drop(LOST.set(error.to_string())),
    }
    is_there
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
    // Asked before the table is told to know no terminal.
    let width = table.width().filter(|_| to_people());
    table.set_width(width.unwrap_or(WIDTH_OF_A_FILE));
    if is_coloured(to_people()) {
        table.enforce_styling();
    } else {
        table.force_no_tty();
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
