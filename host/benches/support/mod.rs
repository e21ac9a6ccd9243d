//! What benchmarks of a host have in common: a host with one plugin, and a picture for it.

mod fixture;

use std::path::Path;
use std::sync::Arc;

use bulkhead::app::App;
use bulkhead::call::{Call, Payload};
use bulkhead::config::Config;
use bulkhead::envelope::Envelope;
use bulkhead::names::PluginName;
use bulkhead::registry::PluginRegistry;
use bulkhead::validation::Output;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

pub(crate) use fixture::{fixture, picture};

/// The chain from the service on, with one plugin opened.
pub(crate) struct Host {
    app: App,
    name: PluginName,
    _scratch: tempfile::TempDir,
}

impl Host {
    /// A host for the fixture `plugin`, with the lines of its `settings`.
    pub(crate) fn new(runtime: &Runtime, plugin: &str, settings: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let config = config(scratch.path(), plugin, settings);
        let app = App::build(config).unwrap();
        runtime.block_on(app.plugins.preload());
        let name = PluginName::parse(plugin).unwrap();
        Self {
            app,
            name,
            _scratch: scratch,
        }
    }

    /// Where plugins are looked up.
    pub(crate) fn registry(&self) -> &PluginRegistry {
        &self.app.registry
    }

    /// One call, made and carried out.
    pub(crate) async fn run(
        &self,
        payload: Payload,
        options: Option<&RawValue>,
    ) -> Result<Output, Box<Envelope>> {
        let mut call = Call::new(self.name.clone(), payload, "image/png".to_owned());
        call.options = options.map(ToOwned::to_owned);
        self.app.plugins.execute_plugin(Arc::new(call)).await
    }
}

fn config(scratch: &Path, plugin: &str, settings: &str) -> Config {
    let folder = scratch.join("plugins");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(fixture(plugin), folder.join("plugin.so")).unwrap();
    let file = scratch.join("bulkhead.toml");
    std::fs::write(&file, format!("[plugin.{plugin}]\n{settings}\n")).unwrap();
    let overrides = bulkhead::config::Overrides {
        plugins: Some(folder),
        state: Some(scratch.to_owned()),
        ..Default::default()
    };
    let sources = bulkhead::config::Sources {
        config: Some(file),
        overrides,
        ..Default::default()
    };
    bulkhead::config::read(&sources).unwrap()
}
