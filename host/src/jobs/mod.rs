//! Jobs: what is known of each, the stores that keep them, and where the bytes of their images lie.
//! Knows no plugin and runs nothing.

mod live;
mod memory;
mod payloads;
mod postgres;
mod record;
mod sqlite;
mod store;

pub use live::{Ended, Job, JobState};
pub use memory::{MemoryStore, Retention};
pub use payloads::{PayloadError, PayloadStore, digest_of};
pub use postgres::{ConnectError, PostgresStore};
pub use record::{
    Callback, Image, Kind, Lease, Priority, Record, Status, StoredAttachment, StoredError,
    StoredOutcome, StoredOutput, StoredResult, Time,
};
pub use sqlite::{SqliteError, SqliteStore};
pub use store::{
    Added, CallbackEnd, Cancelled, Claim, End, Forget, HandBack, Held, HostId, HostSeen,
    Idempotency, JobStore, Listing, NewJob, Notice, Reclaim, Renewal, Reply, Retried, SharedStore,
    StoreError,
};
