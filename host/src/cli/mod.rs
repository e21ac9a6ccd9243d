//! The command line: one file per command. Results go to stdout, all else to stderr.

mod address;
mod analyze;
mod at;
mod bench;
mod config;
mod daemon;
mod exit;
mod jobs;
mod logs;
mod manual;
mod plugins;
mod print;
mod reload;
mod serve;
#[cfg(unix)]
mod socket;
mod token;
mod trust;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ColorChoice, Parser, Subcommand};

use crate::config::{Config, Environment, Overrides, Sources, read};
use crate::names::PluginName;
use exit::{Exit, Failure};

/// A plugin host that a plugin cannot sink
///
/// Plugins are shared libraries in a folder. `bulkhead serve` runs them behind HTTP, each in processes of its own;
/// `bulkhead analyze` runs one from the shell. Settings: defaults < bulkhead.toml < BULKHEAD_* < flags.
#[derive(Parser)]
#[command(name = "bulkhead", version, after_help = exit::help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to colour what is printed; `auto`: on a terminal, if NO_COLOR is not set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = false
    )]
    color: ColorChoice,
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
    /// Show and check the settings
    Config(config::Config),
    /// Print a script that completes commands in a shell
    Completions(manual::Completions),
    /// Write the manual: a page for each command into a folder, or the first to stdout
    Man(manual::Manual),
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
        read(&self.sources(listen, state)).map_err(Failure::from)
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
    let cli = Cli::parse();
    print::set_colour(cli.color, Environment::of_process().forbids_colour());
    let outcome = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Analyze(analyze) => analyze.run(),
        Command::Plugins(plugins) => plugins.run(),
        Command::Jobs(jobs) => jobs.run(),
        Command::Bench(bench) => bench.run(),
        Command::Token(token) => token.run(),
        Command::Config(config) => config.run(),
        Command::Completions(completions) => Ok(completions.run()),
        Command::Man(manual) => manual.run(),
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
