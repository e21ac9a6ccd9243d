//! Calls in a host of this command's own, from the service on: what a call costs without HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::samples::{Row, Samples};
use super::{Bench, MOST_CLIENTS, Picture, Target};
use crate::app::App;
use crate::call::Payload;
use crate::cli::Common;
use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, LaneKind};
use crate::names::PluginName;
use crate::services::AnalysisRequest;

/// A host, and what it is sent.
struct Local {
    app: Arc<App>,
    runtime: Runtime,
    asked: Arc<Asked>,
}

/// What is sent, over and over.
struct Asked {
    plugin: String,
    options: Option<Box<RawValue>>,
    pictures: Vec<Picture>,
}

impl Asked {
    fn request(&self, picture: &Picture) -> AnalysisRequest {
        AnalysisRequest {
            plugin: Some(self.plugin.clone()),
            mime_type: picture.mime_type.clone(),
            payload: Payload::Heap(picture.bytes.clone()),
            options: self.options.clone(),
            request_id: Arc::from("bench"),
            deadline: None,
            held: None,
            owner: None,
            trace: None,
        }
    }
}

impl Bench {
    /// The plugin in a host of its own, in each lane that was asked for.
    pub(super) fn local(&mut self, pictures: &[Picture]) -> Result<Vec<Row>, Failure> {
        let scratch = tempfile::tempdir().map_err(unavailable)?;
        let common = Common {
            plugins: self.common.plugins.take(),
            config: self.common.config.take(),
        };
        let config = common.settings(None, Some(scratch.path().to_owned()))?;
        let lanes = match self.lane.as_slice() {
            [] => vec![None],
            lanes => lanes.iter().copied().map(Some).collect(),
        };
        let mut rows = Vec::new();
        for (lane, number) in lanes.into_iter().zip(0..) {
            let mut config = config.clone();
            config.state = scratch.path().join(format!("{number}"));
            let lane = settle(&mut config, &self.plugin, lane);
            let target = self.host(config, pictures)?;
            rows.extend(self.measure(lane, &target));
            target.runtime.shutdown_background();
        }
        Ok(rows)
    }

    fn host(&self, config: Config, pictures: &[Picture]) -> Result<Local, Failure> {
        let runtime = Runtime::new().map_err(unavailable)?;
        let entered = runtime.enter();
        let app = Arc::new(App::build(config)?);
        let asked = Arc::new(Asked {
            plugin: self.plugin.clone(),
            options: self.options.clone(),
            pictures: pictures.to_vec(),
        });
        drop(entered);
        Ok(Local {
            app,
            runtime,
            asked,
        })
    }
}

/// Has the plugin run in `lane`, and lets as many calls wait as there can be. Gives the lane's name.
fn settle(config: &mut Config, plugin: &str, lane: Option<LaneKind>) -> &'static str {
    let name = match PluginName::parse(plugin) {
        Ok(name) if plugin != "default" => name,
        _ => config.plugins.default.clone(),
    };
    let mut own = config.plugin(&name);
    own.lane = lane.unwrap_or(own.lane);
    own.inline &= own.lane == LaneKind::InProcess;
    own.queue = own.queue.max(MOST_CLIENTS);
    let lane = own.lane.as_str();
    config.plugins.named.insert(name, own);
    lane
}

impl Target for Local {
    fn run(&self, clients: usize, time: Duration) -> Samples {
        let end = Instant::now() + time;
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for client in 0..clients {
                let (app, asked) = (Arc::clone(&self.app), Arc::clone(&self.asked));
                tasks.spawn(call_until(end, app, asked, client));
            }
            let mut samples = Samples::beginning(end - time);
            while let Some(ended) = tasks.join_next().await {
                // A task that panicked has called nobody.
                samples.join(ended.unwrap_or_default());
            }
            samples
        })
    }
}

async fn call_until(end: Instant, app: Arc<App>, asked: Arc<Asked>, client: usize) -> Samples {
    let mut samples = Samples::default();
    for picture in asked.pictures.iter().cycle().skip(client) {
        let began = Instant::now();
        let outcome = app.analysis.analyze(asked.request(picture)).await;
        let ended = Instant::now();
        match outcome {
            Ok(_) => samples.add(ended - began),
            Err(refusal) => samples.fail(&refusal.envelope.error.message),
        }
        if ended >= end {
            break;
        }
    }
    samples
}

fn unavailable(error: std::io::Error) -> Failure {
    Failure::new(Exit::Unavailable, error)
}
