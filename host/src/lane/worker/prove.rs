//! Shows, in a worker that is thrown away, that the confinement holds what it promises. Knows no
//! plugin.

use std::sync::Arc;
use std::time::Duration;

use super::host::Workers;
use super::protocol::{self, Aim};
use super::start::{Plan, start};
use crate::call::Listener;
use crate::config::PluginConfig;
use crate::names::PluginName;
use crate::platform::{Attempt, own_binary};

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(10);

/// What holds workers, and what does not.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// The measures that are in force.
    pub measures: Vec<String>,
    /// The measures that are not, each with the reason.
    pub missing: Vec<String>,
    /// What a worker could do although it should not.
    pub broken: Vec<String>,
}

impl Proof {
    /// Whether all that was asked for is in force.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.broken.is_empty()
    }
}

/// Confines a worker as those of a plugin without grants, and lets it try what it must not be able to
/// do.
///
/// # Errors
/// When there is no such worker.
pub async fn prove(host: &Arc<Workers>) -> Result<Proof, String> {
    if !host.shuts_in() {
        let missing = format!("all (the platform `{}` has none)", host.side().as_str());
        return Ok(Proof {
            missing: vec![missing],
            ..Proof::default()
        });
    }
    let name = PluginName::parse("self-test").expect("a valid name");
    let plan = Plan {
        confinement: host.confinement(&name, &PluginConfig::default()),
        plugin: name,
        // No plugin is needed for that, and this file is there.
        library: own_binary().map_err(|error| error.to_string())?,
        aim: Aim::Prove,
        seats: 1,
        settings: String::new(),
        check_output: false,
        reply: 1 << 16,
        limit: WITHIN,
        listener: Listener::nobody(),
    };
    let started = start(host, &plan)
        .await
        .map_err(|error| error.to_string())?;
    let attempts: Vec<Attempt> =
        protocol::read_json(&started.text).map_err(|error| error.to_string())?;
    let broken = attempts.into_iter().filter(|attempt| !attempt.held);
    Ok(Proof {
        measures: started.readiness.in_force.measures,
        missing: started.readiness.in_force.missing,
        broken: broken
            .map(|attempt| format!("{}: {}", attempt.name, attempt.detail))
            .collect(),
    })
}
