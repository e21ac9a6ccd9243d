//! One job: a call that is kept, with what became of it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::call::Call;
use crate::envelope::Envelope;
use crate::error::Code;
use crate::names::{Digest, PluginName};
use crate::validation::Output;

/// A call that is kept.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id, which orders jobs by their time of creation.
    pub id: Uuid,
    /// Whom it calls.
    pub plugin: PluginName,
    /// Whose it is, if it came with a token.
    pub owner: Option<Arc<str>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The type of its image.
    pub mime_type: String,
    /// The size of its image.
    pub image_bytes: usize,
    /// How far it has come.
    pub state: JobState,
}

/// How far a job has come.
#[derive(Clone, Debug)]
pub enum JobState {
    /// Nothing has happened yet.
    Pending {
        /// What is to be run.
        call: Arc<Call>,
    },
    /// It runs.
    Running {
        /// What runs.
        call: Arc<Call>,
        /// Since when.
        started_at: DateTime<Utc>,
    },
    /// It is over.
    Ended(Ended),
}

/// What became of a job.
#[derive(Clone, Debug)]
pub struct Ended {
    /// When it began to run; `None` if it never did.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: DateTime<Utc>,
    /// The build that ran it.
    pub generation: Option<Digest>,
    /// The share that it had told as done.
    pub progress: f32,
    /// Its result or error.
    pub outcome: Result<Output, Box<Envelope>>,
}

impl Job {
    /// A job that waits to be run.
    pub fn pending(call: Arc<Call>) -> Self {
        Self {
            id: call.id,
            plugin: call.plugin.clone(),
            owner: call.owner.clone(),
            created_at: Utc::now(),
            mime_type: call.mime_type.clone(),
            image_bytes: call.payload.as_slice().len(),
            state: JobState::Pending { call },
        }
    }

    /// The word of the contract for how far it has come.
    pub fn status(&self) -> &'static str {
        match &self.state {
            JobState::Pending { .. } => "PENDING",
            JobState::Running { .. } => "RUNNING",
            JobState::Ended(Ended { outcome: Ok(_), .. }) => "SUCCESS",
            JobState::Ended(Ended {
                outcome: Err(envelope),
                ..
            }) => {
                if envelope.code() == Code::Cancelled {
                    "CANCELLED"
                } else {
                    "FAILED"
                }
            }
        }
    }

    /// How often it was begun.
    pub fn attempt(&self) -> u32 {
        match &self.state {
            JobState::Pending { .. } => 0,
            JobState::Running { .. } => 1,
            JobState::Ended(ended) => ended.started_at.is_some().into(),
        }
    }

    /// Its call, unless that is over.
    pub(super) fn unfinished(&self) -> Option<&Arc<Call>> {
        match &self.state {
            JobState::Pending { call } | JobState::Running { call, .. } => Some(call),
            JobState::Ended(_) => None,
        }
    }

    pub(super) fn start(&mut self) -> Option<Arc<Call>> {
        let JobState::Pending { call } = &self.state else {
            return None;
        };
        let call = Arc::clone(call);
        self.state = JobState::Running {
            call: Arc::clone(&call),
            started_at: Utc::now(),
        };
        Some(call)
    }

    pub(super) fn end(&mut self, outcome: Result<Output, Box<Envelope>>) {
        let (call, started_at) = match &self.state {
            JobState::Pending { call } => (call, None),
            JobState::Running { call, started_at } => (call, Some(*started_at)),
            JobState::Ended(_) => return,
        };
        let progress = if outcome.is_ok() {
            1.0
        } else {
            call.progress()
        };
        let (generation, finished_at) = (call.generation(), Utc::now());
        self.state = JobState::Ended(Ended {
            started_at,
            finished_at,
            generation,
            progress,
            outcome,
        });
    }

    /// About as many bytes as it holds in memory, once it has ended.
    pub(super) fn weight(&self) -> usize {
        let JobState::Ended(ended) = &self.state else {
            return 0;
        };
        let outcome = match &ended.outcome {
            Ok(output) => {
                let attachments = output
                    .attachments
                    .iter()
                    .map(|attachment| attachment.data.len());
                output.json().len() + attachments.sum::<usize>()
            }
            Err(envelope) => envelope.weight(),
        };
        size_of::<Self>() + self.mime_type.len() + outcome
    }
}
