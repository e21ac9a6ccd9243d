//! `GET /metrics`: what the host counts, in the words of Prometheus. Counts nothing itself.

mod accept;
mod family;
mod host;
mod jobs;
mod plain;
mod plugins;
mod process;
mod requests;

use std::fmt;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::Api;
use super::answer::Failure;
use crate::error::CallError;
use crate::histogram::Distribution;
use crate::platform::ProcessUsage;
use crate::registry::Observed;
use crate::services::JobCounts;
use accept::Format;
use family::Families;
use host::HostCounts;

/// Everything that one scrape tells, read as near to one moment as can be had without a lock.
#[derive(Debug)]
struct Scrape {
    plugins: Vec<Observed>,
    refused_files: usize,
    requests: Vec<(super::requests::Asked, Distribution)>,
    host: HostCounts,
    jobs: Option<JobCounts>,
    process: ProcessUsage,
}

/// `GET /metrics`
pub(super) async fn metrics(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let format = Format::asked(&headers);
    let jobs = api.services.jobs.counts().await;
    // Asks the system for the memory of each worker.
    let scraped = tokio::task::spawn_blocking(move || scrape(&api, jobs));
    let text = scraped
        .await
        .map_err(|error| CallError::internal(error.to_string()))?
        .map_err(|error| CallError::internal(error.to_string()))?;
    let text = match format {
        Format::OpenMetrics => text,
        Format::Plain => plain::from_open_metrics(&text),
    };
    let content_type = HeaderValue::from_static(format.content_type());
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn scrape(api: &Api, jobs: Option<JobCounts>) -> Result<String, fmt::Error> {
    let services = &api.services;
    let scrape = Scrape {
        plugins: services.plugins.observe(),
        refused_files: services.plugins.refused().len(),
        requests: services.requests.all(),
        host: HostCounts::of(services),
        jobs,
        process: ProcessUsage::read(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut told = String::with_capacity(32 << 10);
    text::encode(&mut told, &registry)?;
    Ok(told)
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = &mut Families(&mut encoder);
        host::tell(&self.host, families)?;
        requests::tell(&self.requests, families)?;
        plugins::tell(&self.plugins, self.refused_files, families)?;
        if let Some(jobs) = &self.jobs {
            jobs::tell(jobs, families)?;
        }
        process::tell(&self.process, families)
    }
}
