//! Payloads as files, held to what every store of payloads keeps to.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

#[path = "payloads/contract.rs"]
mod contract;

use std::sync::Arc;

use bulkhead::jobs::FilePayloads;
use contract::Subject;

#[tokio::test(flavor = "multi_thread")]
async fn files_keep_to_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("payloads");
    let store = Arc::new(FilePayloads::open(root.clone()).unwrap());
    let file = Box::new(move |sha256| {
        let name = format!("{sha256}");
        root.join(&name[..2]).join(name)
    });
    contract::check(&Subject { store, file }).await;
}
