//! The services of the chain, each of which knows only the next. None knows HTTP.

mod analysis;
pub mod callbacks;
mod jobs;
mod opening;
mod plugins;
mod rates;
pub mod rollout;

pub use analysis::{AnalysisRequest, AnalysisService, Answer, Refusal};
pub use jobs::{
    Follower, JobCounts, JobEvent, JobEventKind, JobManagementService, Keeping, Submitted, Terms,
};
pub use plugins::PluginManagementService;
pub use rates::{INTERVAL as RATE_INTERVAL, RatePoint};
