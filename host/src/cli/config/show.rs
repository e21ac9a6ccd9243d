//! `bulkhead config show`: what holds, and who said so, as a file that says the same.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::{Exit, Failure};
use crate::cli::{Common, print};
use crate::config::{self, Origin, Setting, Settings};

/// Show every setting, resolved, and which source said so; secrets are stars
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Show {
    #[command(flatten)]
    common: Common,
    /// The folder for the host's own files
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The address to listen on
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  bulkhead config show
  bulkhead config show --config /etc/bulkhead/bulkhead.toml --json";

/// Where the origins begin, where the settings are short enough.
const MARGIN: usize = 40;

impl Show {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let sources = self.common.sources(self.listen, self.state);
        let settings = config::explain(&sources)?;
        if self.json {
            print::document(&document(&settings));
        } else {
            print::line(text(&settings).trim_end());
        }
        Ok(Exit::Success)
    }
}

fn document(settings: &Settings) -> Value {
    let file = settings.file.as_deref();
    let items = settings.all.iter().map(|setting| {
        let mut item = json!({ "key": dotted(setting), "value": setting.value });
        item["source"] = source(&setting.origin, file);
        item
    });
    json!({
        "file": file,
        "state": { "value": settings.config.state, "source": source(&settings.state, file) },
        "items": items.collect::<Vec<_>>(),
    })
}

fn source(origin: &Origin, file: Option<&Path>) -> Value {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File(line) => json!({ "kind": "file", "file": file, "line": line }),
        Origin::Variable(name) => json!({ "kind": "variable", "name": name }),
        Origin::Flag(name) => json!({ "kind": "flag", "name": name }),
    }
}

fn text(settings: &Settings) -> String {
    let file = settings.file.as_deref();
    let state = settings.config.state.display();
    let mut text = format!(
        "# state folder: {state} ({})\n",
        told(&settings.state, file)
    );
    let mut table: &[String] = &[];
    for setting in &settings.all {
        if setting.table != table {
            table = &setting.table;
            write!(text, "\n[{}]\n", table.join(".")).expect("a string takes any text");
        }
        let (name, origin) = (&setting.name, told(&setting.origin, file));
        let line = match &setting.value {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} is not set"),
        };
        writeln!(text, "{line:<MARGIN$} # {origin}").expect("a string takes any text");
    }
    text
}

fn told(origin: &Origin, file: Option<&Path>) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(line) => {
            let file = file.map(|file| file.display().to_string());
            format!("{}:{line}", file.unwrap_or_default())
        }
        Origin::Variable(name) => name.clone(),
        Origin::Flag(name) => (*name).to_owned(),
    }
}

fn dotted(setting: &Setting) -> String {
    format!("{}.{}", setting.table.join("."), setting.name)
}
