//! `bulkhead config check`: whether a configuration is good, before a host is started with it.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::exit::{Exit, Failure};
use crate::cli::{Common, print};
use crate::config::{self, ConfigError, Settings};

/// Say whether a configuration is good, and what in it is odd
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The configuration [default: bulkhead.toml, if there is one]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  bulkhead config check
  bulkhead config check /etc/bulkhead/bulkhead.toml

The variables BULKHEAD_… count as they do for `bulkhead serve`. What is legal and seldom meant is said on stderr, and
is no failure. Exit codes: 0 where it is good, 78 where it is not.";

impl Check {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let common = Common {
            plugins: None,
            config: self.file,
        };
        // Where the state is matters to nobody here.
        let sources = common.sources(None, Some(PathBuf::new()));
        match config::explain(&sources) {
            Ok(settings) if self.json => print::document(&good(&settings)),
            Ok(settings) => tell(&settings),
            Err(error) if self.json => {
                print::document(&bad(&error));
                return Ok(Exit::Config);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Exit::Success)
    }
}

fn good(settings: &Settings) -> serde_json::Value {
    let odd = settings.config.oddities().into_iter();
    let odd = odd.map(|odd| json!({ "key": odd.key, "message": odd.text }));
    json!({ "good": true, "file": settings.file, "warnings": odd.collect::<Vec<_>>() })
}

fn bad(error: &ConfigError) -> serde_json::Value {
    let place = match error {
        ConfigError::InFile(fault) => json!({
            "key": fault.key, "line": fault.line, "column": fault.column,
        }),
        ConfigError::Given { name, .. } | ConfigError::UnknownVariable { name, .. } => {
            json!({ "key": name })
        }
        ConfigError::Unreadable { .. } | ConfigError::NoState => json!({}),
    };
    let mut document = json!({ "good": false, "message": error.one_line() });
    document["place"] = place;
    document
}

fn tell(settings: &Settings) {
    let odd = settings.config.oddities();
    for odd in &odd {
        print::error(&format!("warning: `{}`: {}", odd.key, odd.text));
    }
    let file = match &settings.file {
        Some(file) => format!("{} is good", file.display()),
        None => "there is no bulkhead.toml here; what else is set is good".to_owned(),
    };
    let odd = match odd.len() {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        many => format!(", with {many} warnings"),
    };
    print::line(&format!("{file}{odd}"));
}
