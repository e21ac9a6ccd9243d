//! Who calls: each over one connection, one call after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::builds::PLUGIN;
use crate::fixture::picture;

/// One client. A call of its that fails ends the benchmark.
pub(crate) struct Client {
    agent: Agent,
    target: String,
    picture: bytes::Bytes,
}

/// A call that went well.
pub(crate) struct Answered {
    /// The number of the build that it ran in.
    pub(crate) build: u16,
    /// When its answer was there.
    pub(crate) at: Instant,
    /// How long that took.
    pub(crate) took: Duration,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections_per_host(1)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        Self {
            agent: config.into(),
            target: format!("http://{address}/v1/analyze?plugin={PLUGIN}"),
            picture: picture(64),
        }
    }

    /// One call.
    pub(crate) fn call(&self) -> Answered {
        let request = self.agent.post(&self.target);
        let request = request.header("content-type", "image/png");
        let began = Instant::now();
        let mut response = request.send(&self.picture[..]).unwrap();
        let body = response.body_mut().read_to_vec().unwrap();
        let at = Instant::now();
        let text = String::from_utf8_lossy(&body);
        assert_eq!(response.status(), 200, "a call has failed: {text}");
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let build = answer["result"]["build"].as_u64();
        Answered {
            build: u16::try_from(build.unwrap()).unwrap(),
            at,
            took: at - began,
        }
    }
}
