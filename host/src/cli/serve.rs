//! `bulkhead serve`: the daemon.

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::exit::{Exit, Failure};
use super::reload::{Asking, Settings};
use super::{Common, logs, print};
use crate::app::{self, App, ServiceManager, StartError, Tls, open_access};
use crate::config::{self, Config};
use crate::services::PluginManagementService;

/// Serve the plugins of a folder over HTTP
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    common: Common,
    /// The folder for the host's own files
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The address to listen on; port 0 picks one [default: 127.0.0.1:8077]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

const EXAMPLES: &str = "\
Examples:
  bulkhead serve --plugins target/release
  bulkhead serve --listen 127.0.0.1:0 --state /tmp/bulkhead
  bulkhead serve --config /etc/bulkhead/bulkhead.toml

SIGTERM and Ctrl-C end it after what runs, a second time at once; SIGHUP has it read settings and folder again.";

/// How long after its time a stop still waits: for code that holds up every worker thread.
const GRACE: Duration = Duration::from_secs(3);

impl Serve {
    /// The main thread waits for signals on a runtime of its own, so that no plugin's code, which
    /// may hold up all the others, makes the process deaf to them.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let control = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unavailable)?;
        // First of all: a signal that asks for something must not end a host that starts.
        let signals = {
            let _entered = control.enter();
            Signals::listen().map_err(unavailable)?
        };
        #[cfg(feature = "failpoints")]
        crate::failpoints::arm();
        let sources = self.common.sources(self.listen, self.state);
        let config = config::read(&sources)?;
        let logs = logs::start(&config.log);
        let workers = Runtime::new().map_err(unavailable)?;
        let settings = Settings::new(sources, logs);
        let served = supervise(signals, config, settings, &workers);
        let served = control.block_on(served);
        // Plugins' code that cannot be ended must not hold up the end.
        workers.shutdown_background();
        served.map(|()| Exit::Success)
    }
}

/// Serves until the process is asked to stop, and no longer than that may take; a second request
/// ends it at once. Requests to reload are handed on until then.
async fn supervise(
    mut signals: Signals,
    config: Config,
    settings: Settings,
    workers: &Runtime,
) -> Result<(), Failure> {
    let (drain, asking) = (config.server.drain.duration(), Asking::default());
    let (stop, stopped) = oneshot::channel();
    let mut served = workers.spawn(serve(config, settings, asking.clone(), stopped));
    tokio::select! {
        ended = &mut served => return ended.map_err(unavailable)?,
        () = signals.stop(|| asking.ask()) => {}
    }
    let _ = stop.send(());
    tokio::select! {
        ended = &mut served => return ended.map_err(unavailable)?,
        () = signals.stop(|| info!("asked to reload: not while stopping")) => {
            warn!("asked to stop twice: what runs is cut off");
        }
        () = tokio::time::sleep(drain + GRACE) => warn!("what runs did not end in time and is cut off"),
    }
    Ok(())
}

async fn serve(
    config: Config,
    settings: Settings,
    asking: Asking,
    stopped: oneshot::Receiver<()>,
) -> Result<(), Failure> {
    // Said before anything is taken that another start would find taken.
    open_access(&config).map_err(StartError::from)?;
    let listeners = app::listen(&config.server).await?;
    let (url, tls) = (
        listeners.url().map_err(unavailable)?,
        listeners.tls().cloned(),
    );
    let app = App::build(config)?;
    app.try_sandbox().await?;
    app.keep_jobs().await?;
    print::line(&format!("listening on {url}"));
    // Whoever asks has gone only when the process has.
    let shutdown = async move { stopped.await.unwrap_or(()) };
    let (plugins, service) = (Arc::clone(&app.plugins), Arc::clone(&app.service));
    tokio::select! {
        served = app.serve(listeners, Some(Arc::new(settings)), shutdown) => served.map_err(Failure::from),
        never = reload(asking, &plugins, &service, tls.as_ref()) => match never {},
    }
}

/// Carries out one request to reload after the other, for as long as the host serves.
async fn reload(
    asking: Asking,
    plugins: &PluginManagementService,
    service: &ServiceManager,
    tls: Option<&Tls>,
) -> Infallible {
    loop {
        asking.asked().await;
        info!("asked to reload: settings, folder and certificate are read again");
        service.reloading();
        if let Some(tls) = tls.cloned() {
            // Two files are read. What comes of it is told where it happens.
            let _ = tokio::task::spawn_blocking(move || tls.renew()).await;
        }
        // What comes of it is told where it happens.
        let _ = plugins.reload_all().await;
        service.reloaded(plugins);
    }
}

fn unavailable(error: impl Display) -> Failure {
    Failure::new(Exit::Unavailable, error)
}

/// What the process is asked for from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// To end, after what runs.
    Stop,
    /// To read its settings again, where the system has a signal for that.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Reload,
}

impl Signals {
    /// Waits for a request to stop; those to reload go to `reload`.
    async fn stop(&mut self, reload: impl Fn()) {
        while self.next().await == Asked::Reload {
            reload();
        }
    }
}

/// Requests to stop and to reload. What comes before anybody waits is not missed.
#[cfg(unix)]
struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Asked {
        self.0.recv().await;
        Asked::Stop
    }
}
