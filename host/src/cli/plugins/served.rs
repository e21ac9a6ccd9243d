//! What a daemon is asked for: the plugins that it serves, and changes to one of them. Knows the
//! routes.

use clap::Args;
use serde_json::Value;

use super::super::at::At;
use super::super::daemon::{Daemon, DaemonError};
use super::super::exit::{Exit, Failure};
use super::super::print;
use super::tell;

/// One plugin of a daemon.
#[derive(Args)]
pub(super) struct Asked {
    /// The plugin
    #[arg(value_name = "NAME", value_parser = super::super::plugin_name)]
    plugin: String,
    #[command(flatten)]
    at: At,
}

/// What is to become of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The build before serves again.
    Rollback,
    /// Its file is looked at again.
    Reload,
    /// Its calls are let in.
    Enable,
    /// Its calls are refused.
    Disable,
}

impl Action {
    /// The last part of its route.
    fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Reload => "reload",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

impl At {
    /// Shows every plugin and every refused file.
    pub(super) fn list(self) -> Result<Exit, Failure> {
        self.ask(|daemon| daemon.get("/v1/plugins"), tell::list)
    }

    /// Asks the daemon, and prints what `told` makes of the answer: nothing can be made of what is
    /// in no known form.
    fn ask(
        self,
        request: impl FnOnce(&Daemon) -> Result<Value, DaemonError>,
        told: impl FnOnce(&Value) -> Option<String>,
    ) -> Result<Exit, Failure> {
        let json = self.json;
        let daemon = self.daemon()?;
        let answer = request(&daemon).inspect_err(|error| match error {
            DaemonError::Refused(refused) if json => print::document(&refused.answer),
            _ => {}
        })?;
        let unknown = || daemon.stranger("it answered in a form of its own");
        let told = told(&answer).ok_or_else(unknown)?;
        if json {
            print::document(&answer);
        } else {
            print::line(&told);
        }
        Ok(Exit::Success)
    }
}

impl Asked {
    /// Shows all that there is to know.
    pub(super) fn show(self) -> Result<Exit, Failure> {
        let route = self.route();
        self.at.ask(|daemon| daemon.get(&route), tell::plugin)
    }

    /// Has it done, and says how the plugin stands.
    pub(super) fn act(self, action: Action) -> Result<Exit, Failure> {
        let route = format!("{}/{}", self.route(), action.as_str());
        let told = |plugin: &Value| tell::outcome(action, plugin);
        self.at.ask(|daemon| daemon.post(&route), told)
    }

    fn route(&self) -> String {
        format!("/v1/plugins/{}", self.plugin)
    }
}
