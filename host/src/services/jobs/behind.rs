//! Analyses that somebody waited for, on their way into the store: behind their answers, some at a time, and no more
//! than the disk should bear. What does not get there stays in memory for a while.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use uuid::Uuid;

use super::durable::Durable;
use super::payloads::SMALL;
use super::stored::record_of;
use crate::jobs::{MemoryStore, Record, StoreError, StoredResult};

/// How often analyses are written.
pub(super) const EVERY: Duration = Duration::from_millis(500);
/// How many are written at a time.
const AT_A_TIME: usize = 500;

/// The ids of analyses that have ended and are not in the store yet.
pub(super) struct Behind {
    ended: ArrayQueue<Uuid>,
    memory: Arc<MemoryStore>,
}

impl Behind {
    /// Nothing has ended yet of what is in `memory`.
    pub(super) fn new(memory: Arc<MemoryStore>) -> Self {
        let ended = ArrayQueue::new(AT_A_TIME);
        Self { ended, memory }
    }

    /// Notes that an analysis has ended. Waits for nobody: where too many have, it is forgotten here.
    pub(super) fn push(&self, id: Uuid) {
        let _ = self.ended.push(id);
    }

    /// Writes those that have ended since.
    pub(super) async fn write(&self, durable: &Durable) -> Result<(), StoreError> {
        let ids = std::iter::from_fn(|| self.ended.pop()).take(AT_A_TIME);
        let jobs = ids.filter_map(|id| self.memory.get(id));
        let records: Vec<_> = jobs.map(|job| short(record_of(&job))).collect();
        if records.is_empty() {
            return Ok(());
        }
        durable.store.note(records).await
    }
}

/// A large result, and attachments, are not worth the room: whoever wanted them has got them.
fn short(mut record: Record) -> Record {
    if let Some(Ok(output)) = &mut record.outcome {
        output.attachments.clear();
        if matches!(&output.result, Some(StoredResult::Inline(json)) if json.len() > SMALL) {
            output.result = None;
        }
    }
    record
}
