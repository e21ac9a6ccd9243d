//! The whole chain from service to runner, with a double where the lane would be.

mod double;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bulkhead::call::{Call, Lane, Payload};
use bulkhead::config::{self, Config, Overrides, PluginConfig, Sources};
use bulkhead::envelope::Envelope;
use bulkhead::events::EventLog;
use bulkhead::jobs::{MemoryStore, Retention};
use bulkhead::names::{Accepts, Digest, PluginName};
use bulkhead::registry::{Declaration, Plugin, PluginRegistry, PluginStatus, Serving};
use bulkhead::runner::ToolRunner;
use bulkhead::services::rollout::Rollouts;
use bulkhead::services::{
    AnalysisRequest, AnalysisService, JobManagementService, PluginManagementService,
};
use bulkhead::validation::{InputLimits, OptionsSchema, OutputRules, SchemaCheck};
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::json;
use tokio_util::task::TaskTracker;

pub(crate) use double::{Does, Double};

/// The chain of a host with one plugin.
pub(crate) struct Chain {
    pub(crate) double: Double,
    pub(crate) plugins: Arc<PluginManagementService>,
    pub(crate) jobs: Arc<JobManagementService>,
    pub(crate) analysis: Arc<AnalysisService>,
    tasks: TaskTracker,
}

impl Chain {
    pub(crate) fn of(does: Does) -> Self {
        let double = Double::new(does);
        let registry = Arc::new(PluginRegistry::default());
        registry.register(Arc::new(plugin(&double)));
        let tasks = TaskTracker::new();
        let limits = InputLimits {
            max_pixels: 1 << 20,
        };
        let runner = ToolRunner::new(Arc::clone(&registry), limits, tasks.clone());
        let running = running();
        let plugins = Arc::new(PluginManagementService::new(
            registry,
            runner,
            Rollouts::none(),
            Arc::new(EventLog::starting()),
            Arc::clone(&running),
        ));
        let store = MemoryStore::new(Retention {
            age: Duration::from_secs(60),
            count: 100,
            bytes: 1 << 20,
        });
        let jobs = Arc::new(JobManagementService::new(
            Arc::clone(&plugins),
            store,
            tasks.clone(),
        ));
        let analysis = Arc::new(AnalysisService::new(Arc::clone(&jobs), running));
        Self {
            double,
            plugins,
            jobs,
            analysis,
            tasks,
        }
    }

    /// The result's text, or the error in brief.
    pub(crate) async fn analyze(&self, image: &'static [u8], mime_type: &str) -> String {
        let outcome = self.analysis.analyze(request(image, mime_type)).await;
        match outcome {
            Ok(answer) => String::from_utf8(answer.output.json().to_vec()).unwrap(),
            Err(refusal) => brief(&refusal.envelope),
        }
    }

    pub(crate) async fn refuse(&self, image: &'static [u8], mime_type: &str) -> Box<Envelope> {
        let outcome = self.analysis.analyze(request(image, mime_type)).await;
        outcome.unwrap_err().envelope
    }

    pub(crate) fn status(&self) -> PluginStatus {
        self.plugins.status("double").unwrap()
    }

    pub(crate) fn counts(&self) -> (u64, u64, &'static str) {
        let calls = self.status().calls;
        (calls.success_count, calls.error_count, calls.state)
    }

    /// Waits for the calls that their callers have left behind.
    pub(crate) async fn all_ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The settings of a host that wants the double where nothing is named.
fn running() -> Arc<ArcSwap<Config>> {
    let overrides = Overrides {
        state: Some("nowhere".into()),
        default: Some(name()),
        ..Overrides::default()
    };
    let sources = Sources {
        folder: "nowhere".into(),
        overrides,
        ..Sources::default()
    };
    Arc::new(ArcSwap::from_pointee(config::read(&sources).unwrap()))
}

fn plugin(double: &Double) -> Plugin {
    let declaration = Declaration {
        name: name(),
        version: semver::Version::new(1, 2, 3),
        description: "A test double".to_owned(),
        accepts: Accepts::parse(vec!["image/*".to_owned()]).unwrap(),
        thread_safe: false,
        file: "double.so".to_owned(),
        digest: Digest::new([7; 32]),
    };
    let double = double.clone();
    let open = move || {
        let lane: Arc<dyn Lane> = Arc::new(double.clone());
        async move { Ok(serving(lane)) }.boxed()
    };
    Plugin::new(declaration, PluginConfig::default(), Box::new(open))
}

fn serving(lane: Arc<dyn Lane>) -> Serving {
    Serving {
        lane,
        options: OptionsSchema::compile(&json!({})).unwrap(),
        output: OutputRules::compile(1 << 20, &json!({}), SchemaCheck::Never).unwrap(),
        options_schema: json!({}),
        output_schema: json!({}),
    }
}

fn name() -> PluginName {
    PluginName::parse("double").unwrap()
}

pub(crate) fn call(image: &'static [u8], mime_type: &str) -> Call {
    let payload = Payload::Heap(Bytes::from_static(image));
    Call::new(name(), payload, mime_type.to_owned())
}

pub(crate) fn request(image: &'static [u8], mime_type: &str) -> AnalysisRequest {
    AnalysisRequest {
        plugin: None,
        payload: Payload::Heap(Bytes::from_static(image)),
        mime_type: mime_type.to_owned(),
        options: None,
        owner: None,
        request_id: Arc::from("test"),
        trace: None,
        deadline: None,
        held: None,
    }
}

/// `TYPE code: message`.
pub(crate) fn brief(envelope: &Envelope) -> String {
    let error = &envelope.error;
    let code = error.details["code"].as_str().unwrap();
    format!("{} {code}: {}", error.error_type, error.message)
}
