//! Records of jobs, and the store that keeps them. Knows no plugin and runs nothing.

mod memory;
mod record;

pub use memory::{MemoryStore, Retention};
pub use record::{Ended, Job, JobState};
