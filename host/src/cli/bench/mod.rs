//! `bulkhead bench`: how many calls a plugin carries out, and how long each takes.

mod local;
mod remote;
mod samples;
mod tell;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::value::RawValue;

use super::address::Address;
use super::exit::{Exit, Failure};
use super::{Common, plugin_name};
use crate::config::{BadUnit, LaneKind, Span};
use samples::{Row, Samples};

/// The most clients at a time: more would measure themselves.
const MOST_CLIENTS: usize = 1024;
/// How long clients call before it counts: plugins are opened, workers start.
const WARM_UP: Duration = Duration::from_millis(300);

/// Measure how many calls a plugin carries out, and how long each takes
#[derive(Args)]
#[command(after_help = "\
Examples:
  bulkhead bench palette picture.jpg
  bulkhead bench palette picture.jpg --lane process,in-process --clients 1,8
  bulkhead bench qr ticket.png --daemon --clients 16 --time 10s --json")]
pub(super) struct Bench {
    #[command(flatten)]
    common: Common,
    /// The plugin; `default` is the one that the configuration names
    #[arg(value_parser = plugin_name)]
    plugin: String,
    /// The pictures, which are sent in turn
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// How many call at a time: a list takes its numbers one after the other
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, cores()], value_parser = clients)]
    clients: Vec<usize>,
    /// How long each number of clients calls
    #[arg(long, value_name = "SPAN", default_value = "3s", value_parser = time)]
    time: Duration,
    /// Where the plugin's code runs, to be compared: `process`, `in-process` [default: as configured]
    #[arg(long, value_name = "LANE", value_delimiter = ',', value_parser = lane, conflicts_with = "daemon")]
    lane: Vec<LaneKind>,
    /// The plugin's options, as JSON
    #[arg(long, value_name = "JSON", value_parser = options)]
    options: Option<Box<RawValue>>,
    /// The pictures' MIME type [default: what their bytes say]
    #[arg(long, value_name = "TYPE")]
    mime_type: Option<String>,
    /// Call the daemon at this address over HTTP [default: the configuration's `server.listen`]
    #[arg(long, value_name = "URL", num_args = 0..=1, conflicts_with = "plugins")]
    daemon: Option<Option<Address>>,
    /// A file with the token to show to the daemon [default: that in BULKHEAD_TOKEN]
    #[arg(long, value_name = "FILE", requires = "daemon")]
    token_file: Option<PathBuf>,
    /// A file with the certificates, in PEM, that are to vouch for a daemon that speaks TLS [default: BULKHEAD_CA_FILE, else
    /// those that the system trusts]
    #[arg(long, value_name = "FILE", requires = "daemon")]
    ca_file: Option<PathBuf>,
    /// Print JSON: one object for each row
    #[arg(long)]
    json: bool,
}

/// A picture as it is sent.
#[derive(Clone)]
struct Picture {
    bytes: Bytes,
    mime_type: String,
}

/// Somebody who can be called.
trait Target {
    /// Has so many clients call for so long, and says what came of it.
    fn run(&self, clients: usize, time: Duration) -> Samples;
}

impl Bench {
    pub(super) fn run(mut self) -> Result<Exit, Failure> {
        let pictures: Result<Vec<_>, _> = self.images.iter().map(|path| self.read(path)).collect();
        let pictures = pictures?;
        let rows = match self.daemon.take() {
            Some(address) => self.remote(address, pictures)?,
            None => self.local(&pictures)?,
        };
        Ok(tell::show(&rows, self.json))
    }

    fn read(&self, path: &Path) -> Result<Picture, Failure> {
        let unreadable = |error| {
            Failure::new(
                Exit::Failed,
                format!("cannot read `{}`: {error}", path.display()),
            )
        };
        let bytes = Bytes::from(fs::read(path).map_err(unreadable)?);
        let sniffed = || infer::get(&bytes).map_or("", |kind| kind.mime_type());
        let mime_type = self.mime_type.clone();
        let mime_type = mime_type.unwrap_or_else(|| sniffed().to_owned());
        Ok(Picture { bytes, mime_type })
    }

    /// All numbers of clients, one after the other.
    fn measure(&self, lane: &'static str, target: &impl Target) -> Vec<Row> {
        let each = |clients: &usize| {
            let bar = progress(lane, *clients);
            target.run(*clients, WARM_UP);
            let samples = target.run(*clients, self.time);
            bar.finish_and_clear();
            samples.row(lane, *clients)
        };
        self.clients.iter().map(each).collect()
    }
}

/// What is being measured, on a terminal.
fn progress(lane: &str, clients: usize) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_message(format!("{lane}: {clients} at a time"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

fn clients(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(clients) if (1..=MOST_CLIENTS).contains(&clients) => Ok(clients),
        _ => Err(format!("expected a number from 1 to {MOST_CLIENTS}")),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|error: BadUnit| error.to_string())?;
    if (Span::millis(100)..=Span::seconds(600)).contains(&span) {
        Ok(span.duration())
    } else {
        Err("expected a time from 100ms to 10m".to_owned())
    }
}

fn lane(text: &str) -> Result<LaneKind, String> {
    LaneKind::try_from(text.to_owned())
}

fn options(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())
}
