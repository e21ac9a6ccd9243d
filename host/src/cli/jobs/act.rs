//! `bulkhead jobs cancel` and `retry`: changes to jobs, one after the other.

use clap::Args;
use serde_json::Value;

use super::super::at::At;
use super::super::daemon::{Daemon, DaemonError, one_line};
use super::super::exit::{Exit, Failure};
use super::super::print;
use super::ids::Ids;
use super::{route, tell};

/// End jobs, whatever their state
///
/// One that has ended stays as it is, which is no error.
#[derive(Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    asked: Asked,
}

/// Have jobs that failed or were cancelled run once more
#[derive(Args)]
pub(super) struct Retry {
    #[command(flatten)]
    asked: Asked,
}

#[derive(Args)]
struct Asked {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    ids: Ids,
}

impl Cancel {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.asked.each(|daemon, route| daemon.delete(route))
    }
}

impl Retry {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let again = |daemon: &Daemon, route: &str| daemon.post(&format!("{route}/retry"));
        self.asked.each(again)
    }
}

impl Asked {
    /// Asks for all, also where one is refused: how each then stands is a line of its own.
    fn each(
        self,
        ask: impl Fn(&Daemon, &str) -> Result<Value, DaemonError>,
    ) -> Result<Exit, Failure> {
        let ids = self.ids.read()?;
        let json = self.at.json;
        let daemon = self.at.daemon()?;
        let mut exit = Exit::Success;
        for id in ids {
            match ask(&daemon, &route(id)) {
                Ok(record) if json => print::line(&record.to_string()),
                Ok(record) => print::line(&tell::line(&record)),
                Err(DaemonError::Refused(refused)) => {
                    exit = Exit::Failed;
                    if json {
                        print::line(&refused.answer.to_string());
                    }
                    print::error(&one_line(&format!("bulkhead: {id}: {}", refused.line)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(exit)
    }
}
