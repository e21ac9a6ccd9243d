//! A daemon in this process, with a folder that builds are put into.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bulkhead::app::App;
use bulkhead::config::{Overrides, Sources, read};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::builds::Builds;
use crate::clients::Client;

/// Serves one plugin over HTTP until it is dropped.
pub(crate) struct Daemon<'a> {
    runtime: &'a Runtime,
    address: SocketAddr,
    builds: Builds,
    file: PathBuf,
    number: u16,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
    _scratch: TempDir,
}

impl<'a> Daemon<'a> {
    /// A daemon that waits for files to settle for so long, and serves the first of `builds`.
    pub(crate) fn start(runtime: &'a Runtime, builds: Builds, settle: Duration) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let plugins = scratch.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        let file = plugins.join("builds.so");
        fs::write(&file, builds.make(0)).unwrap();
        let settings = scratch.path().join("bulkhead.toml");
        let text = format!("[plugins]\nsettle = \"{}ms\"\n", settle.as_millis());
        fs::write(&settings, text).unwrap();
        let overrides = Overrides {
            plugins: Some(plugins),
            state: Some(scratch.path().join("state")),
            ..Overrides::default()
        };
        let sources = Sources {
            config: Some(settings),
            overrides,
            ..Sources::default()
        };
        let app = App::build(read(&sources).unwrap()).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(async move {
            let stopped = async move { stopped.await.unwrap_or(()) };
            app.serve(listener, None, stopped).await.unwrap();
        });
        let daemon = Self {
            runtime,
            address,
            builds,
            file,
            number: 0,
            stop: Some(stop),
            served: Some(served),
            _scratch: scratch,
        };
        daemon.client().call();
        daemon
    }

    /// Somebody who calls it.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The bytes of each build.
    pub(crate) fn size(&self) -> usize {
        self.builds.size()
    }

    /// Copies the next build over the one before. Gives its number, and when its file was closed.
    pub(crate) fn install(&mut self) -> (u16, Instant) {
        self.number += 1;
        fs::write(&self.file, self.builds.make(self.number)).unwrap();
        (self.number, Instant::now())
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let (Some(stop), Some(served)) = (self.stop.take(), self.served.take()) {
            let _ = stop.send(());
            let _ = self.runtime.block_on(served);
        }
    }
}
