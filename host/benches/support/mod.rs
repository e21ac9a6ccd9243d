//! What benchmarks of a host have in common: a host with one plugin, and a picture for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bulkhead::app::App;
use bulkhead::call::{Call, Payload};
use bulkhead::config::Config;
use bulkhead::envelope::Envelope;
use bulkhead::names::PluginName;
use bulkhead::registry::PluginRegistry;
use bulkhead::validation::Output;
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

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

/// The plugin, built as plugins are shipped.
fn fixture(plugin: &str) -> PathBuf {
    let (package, library) = (format!("fixture-{plugin}"), format!("fixture_{plugin}"));
    let build = [
        "build",
        "--release",
        "--package",
        &package,
        "--message-format",
        "json",
    ];
    let built = Command::new(env!("CARGO")).args(build).output().unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let messages = String::from_utf8(built.stdout).unwrap();
    let messages = messages
        .lines()
        .map(serde_json::from_str::<serde_json::Value>);
    let mut artifacts = messages.map(Result::unwrap).filter(|message| {
        message["reason"] == "compiler-artifact" && message["target"]["name"] == *library
    });
    let artifact = artifacts.next().expect("cargo names what it built");
    artifact["filenames"][0]
        .as_str()
        .expect("a cdylib has one file")
        .into()
}

/// A PNG's head, which the host's checks read, and as many bytes as asked for.
pub(crate) fn picture(size: usize) -> Bytes {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x02\0\0\0".to_vec();
    bytes.resize(size, 0);
    bytes.into()
}
