//! `bulkhead analyze`: runs a plugin on pictures through the same chain as the daemon, without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::exit::{Exit, Failure};
use super::{Common, logs, plugin_name, print};
use crate::app::App;
use crate::call::{Attachment, Payload};
use crate::config::{BadUnit, Span};
use crate::names::PluginName;
use crate::services::{AnalysisRequest, Answer, Refusal};

/// Run a plugin on pictures, without a daemon
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Analyze {
    #[command(flatten)]
    common: Common,
    /// The plugin; `default` is the one that the configuration names
    #[arg(value_parser = plugin_name)]
    plugin: String,
    /// The pictures
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The plugin's options, as JSON
    #[arg(long, value_name = "JSON", value_parser = options)]
    options: Option<Box<RawValue>>,
    /// The pictures' MIME type [default: what their bytes say]
    #[arg(long, value_name = "TYPE")]
    mime_type: Option<String>,
    /// How long each call may take, such as 500ms or 5s [default: the plugin's own deadline, which
    /// counts in any case]
    #[arg(long, value_name = "SPAN", value_parser = deadline)]
    deadline: Option<Duration>,
    /// Keep what comes beside the JSON (a thumbnail) in this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Print one JSON document a line
    #[arg(long)]
    json: bool,
    /// Show the host's log too
    #[arg(long, short)]
    verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  bulkhead analyze palette photo.jpg --plugins target/release
  bulkhead analyze thumbnail photo.jpg scan.png --options '{\"size\":128}' --save thumbnails
  bulkhead analyze default photo.jpg --json | jq .result";

impl Analyze {
    pub(super) fn run(mut self) -> Result<Exit, Failure> {
        let unavailable = |error: std::io::Error| Failure::new(Exit::Unavailable, error);
        let scratch = tempfile::tempdir().map_err(unavailable)?;
        let common = Common {
            plugins: self.common.plugins.take(),
            config: self.common.config.take(),
        };
        let config = common.settings(None, Some(scratch.path().to_owned()))?;
        if self.verbose {
            logs::start(&config.log);
        }
        let runtime = Runtime::new().map_err(unavailable)?;
        let _entered = runtime.enter();
        let app = App::build(config)?;
        let mut exit = Exit::Success;
        for image in &self.images {
            let document = runtime.block_on(self.analyze(&app, image));
            if document.get("error").is_some() {
                exit = Exit::Failed;
            }
            self.show(image, &document);
        }
        runtime.shutdown_background();
        Ok(exit)
    }

    /// What came of one picture: the body that the daemon would answer, and the file's name.
    async fn analyze(&self, app: &App, image: &Path) -> Value {
        let bytes = match fs::read(image) {
            Ok(bytes) => bytes,
            Err(error) => return self.unreadable(image, &error.to_string()),
        };
        let sniffed = || {
            infer::get(&bytes)
                .map_or("", |kind| kind.mime_type())
                .to_owned()
        };
        let request = AnalysisRequest {
            plugin: Some(self.plugin.clone()),
            mime_type: self.mime_type.clone().unwrap_or_else(sniffed),
            payload: Payload::Heap(Bytes::from(bytes)),
            options: self.options.clone(),
            owner: None,
            request_id: Arc::from(image.to_string_lossy()),
            trace: None,
            deadline: self.deadline,
            held: None,
        };
        match app.analysis.analyze(request).await {
            Ok(answer) => self.document(image, &answer),
            Err(refusal) => refused(image, &refusal),
        }
    }

    fn unreadable(&self, image: &Path, cause: &str) -> Value {
        let problem = format!("cannot read `{}`: {cause}", image.display());
        let refusal = Refusal::malformed(problem, PluginName::parse(&self.plugin).ok());
        refused(image, &refusal)
    }

    fn document(&self, image: &Path, answer: &Answer) -> Value {
        let result: Value = serde_json::from_slice(answer.output.json()).unwrap_or_default();
        let attachments = &answer.output.attachments;
        let mut document = json!({ "file": image, "plugin": answer.plugin, "result": result });
        if !attachments.is_empty() {
            let kept = attachments
                .iter()
                .map(|attachment| self.keep(image, attachment));
            document["attachments"] = kept.collect();
        }
        document
    }

    /// Writes an attachment down under the picture's name, if that was asked for.
    fn keep(&self, image: &Path, attachment: &Attachment) -> Value {
        let mut told = json!({
            "name": attachment.name,
            "mime_type": attachment.mime_type,
            "bytes": attachment.data.len(),
        });
        let Some(folder) = &self.save else {
            return told;
        };
        let stem = image.file_stem().unwrap_or_default().to_string_lossy();
        // A plugin chooses the name: only its last part counts.
        let name = attachment
            .name
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default();
        let path = folder.join(format!("{stem}-{name}"));
        match fs::create_dir_all(folder).and_then(|()| fs::write(&path, &attachment.data)) {
            Ok(()) => told["path"] = path.to_string_lossy().into(),
            Err(error) => print::error(&format!(
                "bulkhead: cannot write `{}`: {error}",
                path.display()
            )),
        }
        told
    }

    fn show(&self, image: &Path, document: &Value) {
        if self.json {
            return print::line(&document.to_string());
        }
        if let Some(error) = document.get("error") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let details = &error["details"];
            let place = details["location"]
                .as_str()
                .map(|place| format!(" (at {place})"));
            let problem = format!(
                "{} {}: {}{}",
                text(&error["type"]),
                text(&details["code"]),
                text(&error["message"]),
                place.unwrap_or_default()
            );
            print::error(&format!("{}: {problem}", image.display()));
            let traceback = document["_internal"]["traceback"].as_str();
            for line in traceback.unwrap_or_default().lines() {
                print::error(&format!("  {line}"));
            }
            return;
        }
        if self.images.len() > 1 && print::to_people() {
            print::line(&format!("{}:", image.display()));
        }
        print::line(&format!("{:#}", document["result"]));
        for attachment in document["attachments"].as_array().into_iter().flatten() {
            print::error(&format!("attached: {attachment}"));
        }
    }
}

/// An error with what helps to find its place: whoever runs the command is the operator.
fn refused(image: &Path, refusal: &Refusal) -> Value {
    let envelope = &refusal.envelope;
    let mut document = json!({ "file": image, "error": envelope.error });
    if !envelope.internal.traceback.as_str().is_empty() {
        document["_internal"] = json!(envelope.internal);
    }
    document
}

fn options(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())
}

fn deadline(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|error: BadUnit| error.to_string())?;
    if span < Span::millis(1) {
        return Err("a call cannot end before it begins: 1ms is the least".to_owned());
    }
    Ok(span.duration())
}
