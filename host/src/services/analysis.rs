//! The first link of the chain: checks the shape of a request and makes a job of it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::budget::Reservation;
use crate::call::{Call, Payload, Place};
use crate::config::Config;
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::names::PluginName;
use crate::services::{JobManagementService, Submitted, Terms};
use crate::trace::Trace;
use crate::validation::Output;

/// The name that stands for the plugin that the operator has chosen.
const DEFAULT: &str = "default";
/// The longest MIME type, in bytes: twice the 127 that RFC 6838 gives each half.
const MAX_MIME_TYPE: usize = 255;

/// An analysis as a caller asks for it.
#[derive(Debug)]
pub struct AnalysisRequest {
    /// The plugin; `None` and `default` mean the one that the operator has chosen.
    pub plugin: Option<String>,
    /// The image.
    pub payload: Payload,
    /// Its MIME type as the caller gave it; empty for none.
    pub mime_type: String,
    /// The options, a JSON text.
    pub options: Option<Box<RawValue>>,
    /// Whose the call is: the id of the token that it came with, if it came with one.
    pub owner: Option<Arc<str>>,
    /// The id of the request.
    pub request_id: Arc<str>,
    /// The trace that it is for, if there is one.
    pub trace: Option<Trace>,
    /// How long it may take; the plugin's own deadline counts besides.
    pub deadline: Option<Duration>,
    /// What it takes of the host's budget.
    pub held: Option<Reservation>,
}

/// A result and what it is the result of.
#[derive(Debug)]
pub struct Answer {
    /// The job that the call was.
    pub job: Uuid,
    /// The plugin that ran.
    pub plugin: PluginName,
    /// What it gave.
    pub output: Output,
}

/// An error and, if it came to that, the job that it ended.
#[derive(Debug)]
pub struct Refusal {
    /// The job that the call was.
    pub job: Option<Uuid>,
    /// What went wrong.
    pub envelope: Box<Envelope>,
}

impl Refusal {
    /// A request that came to nothing before it was one, such as a file that cannot be read.
    pub fn malformed(problem: String, plugin: Option<PluginName>) -> Self {
        let envelope = Envelope::new(&CallError::malformed(problem), plugin.as_ref());
        Self {
            job: None,
            envelope: Box::new(envelope),
        }
    }
}

/// Answers requests for an analysis.
pub struct AnalysisService {
    jobs: Arc<JobManagementService>,
    running: Arc<ArcSwap<Config>>,
}

impl AnalysisService {
    /// A service that runs, for requests that name no plugin, the one that the settings in `running` call `default`.
    pub fn new(jobs: Arc<JobManagementService>, running: Arc<ArcSwap<Config>>) -> Self {
        Self { jobs, running }
    }

    /// Runs a plugin on an image, now.
    ///
    /// # Errors
    /// The envelope of whatever went wrong, on the whole way.
    pub async fn analyze(&self, request: AnalysisRequest) -> Result<Answer, Refusal> {
        let call = self.call(request).map_err(|error| {
            let envelope = Box::new(Envelope::new(&error, None));
            Refusal {
                job: None,
                envelope,
            }
        })?;
        let plugin = call.plugin.clone();
        let job = self.jobs.create_job(Arc::new(call));
        let outcome = self.jobs.run_job(job).await;
        match outcome {
            Ok(output) => Ok(Answer {
                job,
                plugin,
                output,
            }),
            Err(envelope) => Err(Refusal {
                job: Some(job),
                envelope,
            }),
        }
    }

    /// Keeps analyses as jobs, to be run when there is room: durable when this returns. The outer error is of all of
    /// them, the inner ones are of single requests, in their order.
    ///
    /// # Errors
    /// The envelope of whatever went wrong.
    pub async fn submit(
        &self,
        requests: Vec<AnalysisRequest>,
        terms: Terms,
    ) -> Result<Vec<Result<Submitted, Box<Envelope>>>, CallError> {
        let mut calls = Vec::with_capacity(requests.len());
        let mut refused = Vec::new();
        for (index, request) in requests.into_iter().enumerate() {
            match self.call(request) {
                Ok(call) => calls.push(call),
                Err(error) => refused.push((index, Box::new(Envelope::new(&error, None)))),
            }
        }
        let mut outcomes = self.jobs.submit_jobs(calls, terms).await?;
        // In the order of their places, so that each finds its own.
        for (index, envelope) in refused {
            outcomes.insert(index, Err(envelope));
        }
        Ok(outcomes)
    }

    /// Memory of the plugin's lane for an image of `bytes` bytes, where it has any to give: so that the image need not
    /// be copied there.
    pub fn place(&self, plugin: Option<&str>, bytes: usize) -> Option<Box<dyn Place>> {
        let name = match plugin {
            None | Some(DEFAULT) => &self.default().to_string(),
            Some(name) => name,
        };
        self.jobs.place(name, bytes)
    }

    fn default(&self) -> PluginName {
        self.running.load().plugins.default.clone()
    }

    fn call(&self, request: AnalysisRequest) -> Result<Call, CallError> {
        let plugin = match request.plugin.as_deref() {
            None | Some(DEFAULT) => self.default(),
            Some(name) => PluginName::parse(name).map_err(CallError::malformed)?,
        };
        let mime_type = essence(&request.mime_type);
        let mut call = Call::new(plugin, request.payload, mime_type);
        call.options = request.options;
        call.owner = request.owner;
        call.request_id = request.request_id;
        call.trace = request.trace;
        call.deadline = request.deadline;
        call.held = request.held;
        Ok(call)
    }
}

/// `type/subtype` in lower case, without parameters; empty where the text is no MIME type.
fn essence(text: &str) -> String {
    if text.len() > MAX_MIME_TYPE {
        return String::new();
    }
    let parsed = text.trim().parse::<mime::Mime>().ok();
    // The parser lets an empty subtype pass.
    let named = parsed.filter(|mime| !mime.subtype().as_str().is_empty());
    named
        .map(|mime| mime.essence_str().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mime_type_is_reduced_to_its_essence() {
        assert_eq!(essence("Image/PNG; charset=x"), "image/png");
        assert_eq!(essence(" image/svg+xml "), "image/svg+xml");
        for bad in [
            "",
            "png",
            "image/",
            "/png",
            "image png",
            "\0",
            &format!("image/{}", "x".repeat(300)),
        ] {
            assert_eq!(essence(bad), "", "{bad:?}");
        }
    }
}
