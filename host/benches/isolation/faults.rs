//! Faults: how long until the caller has the envelope, and until all places answer again.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bulkhead::call::Payload;
use bytes::Bytes;
use comfy_table::{Table, presets};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::runtime::Runtime;

use crate::samples::{Samples, micros};
use crate::support::{Host, picture};

/// How many calls run at a time.
const CONCURRENCY: usize = 2;
/// How long a call keeps its place where the places are counted.
const HELD: Duration = Duration::from_millis(30);
/// Until there is a spare process again.
const PAUSE: Duration = Duration::from_millis(60);
const SETTINGS: &str = "concurrency = 2\nmemory = \"8GiB\"";

/// Prints the table. A fault is timed from the beginning of its call, which is a little more than
/// from the fault.
pub(crate) fn measure(runtime: &Runtime) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "fault",
        "times",
        "envelope p50",
        "p99",
        "full capacity p50",
        "p99",
    ]);
    let stage = Stage {
        runtime,
        host: Arc::new(Host::new(runtime, "faults", SETTINGS)),
        image: picture(64),
    };
    for (name, resident, times) in [
        ("a write to null", 0, 150),
        ("a write to null, 1 GB resident", 1_000_000_000, 25),
    ] {
        stage.measure(resident, 2);
        let (envelope, capacity) = stage.measure(resident, times);
        table.add_row([
            name.to_owned(),
            times.to_string(),
            micros(envelope.p50()),
            micros(envelope.percentile(99)),
            micros(capacity.p50()),
            micros(capacity.percentile(99)),
        ]);
    }
    println!("\nfaults, {CONCURRENCY} workers and a spare process\n{table}");
}

struct Stage<'a> {
    runtime: &'a Runtime,
    host: Arc<Host>,
    image: Bytes,
}

impl Stage<'_> {
    fn measure(&self, resident: usize, times: usize) -> (Samples, Samples) {
        (0..times).map(|_| self.fault(resident)).unzip()
    }

    fn fault(&self, resident: usize) -> (Duration, Duration) {
        // All workers are there, and crashes stay the smaller part of all calls.
        self.hold_all();
        if resident > 0 {
            // Kept by the worker that was last in use, which is the next to be used.
            self.call(&json!({"way": "leak", "bytes": resident}))
                .unwrap();
        }
        thread::sleep(PAUSE);
        let began = Instant::now();
        let code = self.call(&json!({"way": "segv"})).unwrap_err();
        let envelope = began.elapsed();
        assert_eq!(code, "crash");
        self.hold_all();
        (envelope, began.elapsed().saturating_sub(HELD))
    }

    /// Runs as many calls as there are places, each of which keeps its own for a while.
    fn hold_all(&self) {
        let millis = u64::try_from(HELD.as_millis()).unwrap();
        let options = json!({"way": "sleep", "millis": millis});
        let calls: Vec<_> = (0..CONCURRENCY).map(|_| self.begin(&options)).collect();
        for call in calls {
            self.runtime.block_on(call).unwrap().unwrap();
        }
    }

    fn call(&self, options: &serde_json::Value) -> Result<(), String> {
        self.runtime.block_on(self.begin(options)).unwrap()
    }

    fn begin(&self, options: &serde_json::Value) -> tokio::task::JoinHandle<Result<(), String>> {
        let (host, image) = (Arc::clone(&self.host), self.image.clone());
        let options: Box<RawValue> = to_raw_value(options).unwrap();
        self.runtime.spawn(async move {
            let outcome = host.run(Payload::Heap(image), Some(&options)).await;
            outcome.map(drop).map_err(|envelope| {
                let code = &envelope.error.details["code"];
                code.as_str().unwrap_or_default().to_owned()
            })
        })
    }
}
