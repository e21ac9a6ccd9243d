//! The command line: one file per command. Results go to stdout, all else to stderr.

mod analyze;
mod at;
mod bench;
mod daemon;
mod exit;
mod jobs;
mod logs;
mod plugins;
mod print;
mod reload;
mod serve;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Overrides, Sources};
use crate::names::PluginName;
use exit::{Exit, Failure};

/// A plugin host that a plugin cannot sink.
#[derive(Parser)]
#[command(name = "bulkhead", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the plugins of a folder over HTTP
    Serve(serve::Serve),
    /// Run a plugin on pictures, without a daemon
    Analyze(analyze::Analyze),
    /// Show what a folder of plugins holds, without running any of it, or what a daemon serves
    Plugins(plugins::Plugins),
    /// Submit pictures to a daemon as jobs, and see to them
    Jobs(jobs::Jobs),
    /// Measure how many calls a plugin carries out, and how long each takes
    Bench(bench::Bench),
    /// Make, list and revoke the tokens that a daemon lets in
    Token(token::Token),
}

/// What every command takes.
#[derive(Args)]
struct Common {
    /// The folder with the plugins
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The configuration [default: bulkhead.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Common {
    /// The settings from all sources; `listen` and `state` are flags of some commands only.
    fn settings(
        self,
        listen: Option<SocketAddr>,
        state: Option<PathBuf>,
    ) -> Result<Config, Failure> {
        config::read(&self.sources(listen, state)).map_err(Failure::from)
    }

    /// The sources themselves, for who reads them more than once.
    fn sources(self, listen: Option<SocketAddr>, state: Option<PathBuf>) -> Sources {
        let overrides = Overrides {
            plugins: self.plugins,
            state,
            listen,
            default: None,
        };
        Sources::of_process(self.config, overrides)
    }
}

/// Runs the command that the process was started with, to its end.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Analyze(analyze) => analyze.run(),
        Command::Plugins(plugins) => plugins.run(),
        Command::Jobs(jobs) => jobs.run(),
        Command::Bench(bench) => bench.run(),
        Command::Token(token) => token.run(),
    };
    let exit = outcome.unwrap_or_else(|failure| failure.tell());
    match print::lost() {
        Some(problem) => Failure::new(
            Exit::Lost,
            format_args!("cannot write the results: {problem}"),
        )
        .tell(),
        None => exit,
    }
    .into()
}

/// A plugin's name on the command line; `default` is not one, but means one.
fn plugin_name(text: &str) -> Result<String, String> {
    PluginName::parse(text)
        .map(|name| name.to_string())
        .map_err(|error| error.to_string())
}
