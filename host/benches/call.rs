//! What governance costs: a call of a plugin that does next to nothing, through the runner, beside a
//! plain `extern "C"` call and a bare registry lookup in the same run.
//!
//! `cargo bench -p bulkhead`; the ratios within one run are what counts.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to tell"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bulkhead::call::{Call, Payload};
use bulkhead::config::Config;
use bulkhead::loader::{self, StagingArea};
use bulkhead::names::PluginName;
use bulkhead::registry::PluginRegistry;
use bulkhead::runner::ToolRunner;
use bulkhead::services::PluginManagementService;
use bulkhead::validation::InputLimits;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use serde_json::value::RawValue;
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

const SIZES: [(&str, usize); 2] = [("64 B", 64), ("1 MB", 1_000_000)];

fn calls(criterion: &mut Criterion) {
    plain(criterion);
    lookup(criterion);
    inline(criterion);
    on_threads(criterion);
}

fn plain(criterion: &mut Criterion) {
    extern "C" fn look(image: *const u8, length: usize) -> usize {
        black_box(image) as usize ^ length
    }
    let image = picture(64);
    let look: extern "C" fn(*const u8, usize) -> usize = black_box(look);
    criterion.bench_function("plain extern \"C\" call", |bencher| {
        bencher.iter(|| look(black_box(image.as_ptr()), image.len()));
    });
}

fn lookup(criterion: &mut Criterion) {
    let host = Host::new("");
    criterion.bench_function("registry lookup", |bencher| {
        bencher.iter(|| host.registry.get_plugin(black_box("tiny")).unwrap());
    });
}

fn inline(criterion: &mut Criterion) {
    let host = Host::new("inline = true");
    let mut group = criterion.benchmark_group("governed inline");
    for (name, size) in SIZES {
        let image = picture(size);
        group.bench_function(format!("{name}, no options"), |bencher| {
            bencher.iter(|| host.run(&image, None).now_or_never().unwrap());
        });
        let options = options();
        group.bench_function(format!("{name}, typed options"), |bencher| {
            bencher.iter(|| host.run(&image, Some(&options)).now_or_never().unwrap());
        });
    }
}

fn on_threads(criterion: &mut Criterion) {
    let host = Host::new("");
    let mut group = criterion.benchmark_group("governed on threads");
    for (name, size) in SIZES {
        let (image, options) = (picture(size), options());
        group.bench_function(format!("{name}, typed options"), |bencher| {
            bencher
                .to_async(&host.runtime)
                .iter(|| host.run(&image, Some(&options)));
        });
    }
}

/// The chain from the service on, with the plugin `tiny` opened.
struct Host {
    runtime: Runtime,
    registry: Arc<PluginRegistry>,
    plugins: PluginManagementService,
    name: PluginName,
    _scratch: tempfile::TempDir,
}

impl Host {
    fn new(settings: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let config = config(scratch.path(), settings);
        let area = StagingArea::open(scratch.path()).unwrap();
        let scan = loader::scan(&config.plugins.dir, &area).unwrap();
        let registry = Arc::new(PluginRegistry::default());
        let limits = InputLimits {
            max_pixels: config.server.max_pixels,
        };
        let runner = ToolRunner::new(Arc::clone(&registry), limits, TaskTracker::new());
        let plugins = PluginManagementService::new(Arc::clone(&registry), runner, Vec::new());
        plugins.take_over(scan, &config);
        // One thread: what is measured is the hop to the lane's thread and back.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(plugins.preload(1));
        let name = PluginName::parse("tiny").unwrap();
        Self {
            runtime,
            registry,
            plugins,
            name,
            _scratch: scratch,
        }
    }

    /// One call, made and carried out.
    async fn run(&self, image: &Bytes, options: Option<&RawValue>) -> Bytes {
        let payload = Payload::Heap(image.clone());
        let mut call = Call::new(self.name.clone(), payload, "image/png".to_owned());
        call.options = options.map(ToOwned::to_owned);
        let output = self.plugins.execute_plugin(Arc::new(call)).await;
        output.expect("the plugin answers").json().clone()
    }
}

fn config(scratch: &Path, settings: &str) -> Config {
    let folder = scratch.join("plugins");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(fixture(), folder.join("tiny.so")).unwrap();
    let file = scratch.join("bulkhead.toml");
    std::fs::write(
        &file,
        format!("[plugin.tiny]\nlane = \"in-process\"\n{settings}\n"),
    )
    .unwrap();
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
fn fixture() -> PathBuf {
    let build = [
        "build",
        "--release",
        "--package",
        "fixture-tiny",
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
        message["reason"] == "compiler-artifact" && message["target"]["name"] == "fixture_tiny"
    });
    let artifact = artifacts.next().expect("cargo names what it built");
    artifact["filenames"][0]
        .as_str()
        .expect("a cdylib has one file")
        .into()
}

/// A PNG's head, which the host's checks read, and as many bytes as asked for.
fn picture(size: usize) -> Bytes {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x02\0\0\0".to_vec();
    bytes.resize(size, 0);
    bytes.into()
}

fn options() -> Box<RawValue> {
    RawValue::from_string(r#"{"at": 3, "negate": true}"#.to_owned()).unwrap()
}

criterion_group!(benches, calls);
criterion_main!(benches);
