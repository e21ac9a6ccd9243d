//! Ends the host at a named place, for tests. In no build but one with the feature `failpoints`.
//!
//! `FAILPOINT_KILL=store.add.before_commit:2` kills the process when it comes there for the second time. What the
//! crate `fail` can do besides is said in its own variable, `FAILPOINTS`.

use std::sync::atomic::{AtomicUsize, Ordering};

use fail::FailScenario;
use rustix::process::{Signal, getpid, kill_process};

/// Does as the environment says, for the rest of the process.
///
/// # Panics
/// When what it says cannot be read.
pub(crate) fn arm() {
    // Dropping it would disarm everything.
    std::mem::forget(FailScenario::setup());
    let Ok(places) = std::env::var("FAILPOINT_KILL") else {
        return;
    };
    for place in places.split(',') {
        let (name, hit) = place.split_once(':').expect("NAME:HIT");
        kill_at(name, hit.parse().expect("a number"));
    }
}

fn kill_at(name: &str, hit: usize) {
    let hits = AtomicUsize::new(0);
    let come = move || {
        if hits.fetch_add(1, Ordering::SeqCst) + 1 == hit {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    fail::cfg_callback(name, come).expect("a callback has no syntax");
}
