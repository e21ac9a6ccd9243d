//! `bulkhead serve`: the daemon.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tracing::warn;

use super::exit::{Exit, Failure};
use super::{Common, logs, print};
use crate::app::App;
use crate::config::Config;

/// Serve the plugins of a folder over HTTP
#[derive(Args)]
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

/// How long after its time a stop still waits: for code that holds up every worker thread.
const GRACE: Duration = Duration::from_secs(3);

impl Serve {
    /// The main thread waits for signals on a runtime of its own, so that no plugin's code, which
    /// may hold up all the others, makes the process deaf to them.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let config = self.common.settings(self.listen, self.state)?;
        logs::start(&config.log);
        let workers = Runtime::new().map_err(unavailable)?;
        let control = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unavailable)?;
        let served = control.block_on(supervise(config, &workers));
        // Plugins' code that cannot be ended must not hold up the end.
        workers.shutdown_background();
        served.map(|()| Exit::Success)
    }
}

/// Serves until the process is asked to stop, and no longer than that may take; a second request
/// ends it at once.
async fn supervise(config: Config, workers: &Runtime) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(unavailable)?;
    let drain = config.server.drain.duration();
    let (stop, stopped) = oneshot::channel();
    let mut served = workers.spawn(serve(config, stopped));
    tokio::select! {
        ended = &mut served => return ended.map_err(unavailable)?,
        () = signals.next() => {}
    }
    let _ = stop.send(());
    tokio::select! {
        ended = &mut served => return ended.map_err(unavailable)?,
        () = signals.next() => warn!("asked to stop twice: what runs is cut off"),
        () = tokio::time::sleep(drain + GRACE) => warn!("what runs did not end in time and is cut off"),
    }
    Ok(())
}

async fn serve(config: Config, stopped: oneshot::Receiver<()>) -> Result<(), Failure> {
    let address = config.server.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| cannot_listen(address, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(address, &error))?;
    let app = App::build(config)?;
    app.try_sandbox().await?;
    print::line(&format!("listening on http://{address}"));
    // Whoever asks has gone only when the process has.
    let shutdown = async move { stopped.await.unwrap_or(()) };
    app.serve(listener, shutdown).await;
    Ok(())
}

fn unavailable(error: impl Display) -> Failure {
    Failure::new(Exit::Unavailable, error)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format_args!("cannot listen on {address}: {error}"),
    )
}

/// Requests to stop. What comes before anybody waits is not missed.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self {
            terminate: signal(terminate)?,
            interrupt: signal(interrupt)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
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

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
