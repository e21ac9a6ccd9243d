//! `bulkhead jobs`: pictures that a daemon is to analyse when it has room, and what becomes of them.

mod act;
mod bars;
mod crew;
mod ids;
mod list;
mod patience;
mod show;
mod submit;
mod tell;
mod wait;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::exit::{Exit, Failure};

/// Submit pictures to a daemon as jobs, and see to them
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Jobs {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bulkhead jobs submit palette photo.jpg --wait
  bulkhead jobs submit phash pictures --journal submitted.jsonl
  bulkhead jobs list --status failed --json
  bulkhead jobs wait 0193a5f0-7a10-7000-8000-000000000001
  bulkhead jobs cancel 0193a5f0-7a10-7000-8000-000000000001";

#[derive(Subcommand)]
enum Command {
    /// Submit pictures, each as a job of its own, and print the jobs' ids
    Submit(submit::Submit),
    /// List jobs, the latest first
    List(list::List),
    /// Show all that is known of a job, and save what came of it
    Show(show::Show),
    /// Wait until jobs have ended
    Wait(wait::Wait),
    /// End jobs, whatever their state
    Cancel(act::Cancel),
    /// Have jobs that failed or were cancelled run once more
    Retry(act::Retry),
}

impl Jobs {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Submit(submit) => submit.run(),
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
            Command::Wait(wait) => wait.run(),
            Command::Cancel(cancel) => cancel.run(),
            Command::Retry(retry) => retry.run(),
        }
    }
}

/// A job's route.
fn route(id: Uuid) -> String {
    format!("/v1/jobs/{id}")
}
