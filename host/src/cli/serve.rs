//! `bulkhead serve`: the daemon.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

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

impl Serve {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let config = self.common.settings(self.listen, self.state)?;
        logs::start(&config.log);
        let runtime = Runtime::new().map_err(|error| Failure::new(Exit::Unavailable, error))?;
        let served = runtime.block_on(serve(config));
        // Plugins' code that cannot be ended must not hold up the end.
        runtime.shutdown_background();
        served.map(|()| Exit::Success)
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    let address = config.server.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| cannot_listen(address, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(address, &error))?;
    let shutdown = shutdown().map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let app = App::build(config)?;
    print::line(&format!("listening on http://{address}"));
    app.serve(listener, shutdown).await;
    Ok(())
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format_args!("cannot listen on {address}: {error}"),
    )
}

/// Ends when the process is asked to stop. What is asked before that is not missed.
#[cfg(unix)]
fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(windows)]
fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
