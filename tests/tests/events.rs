//! The stream of events of a whole daemon.

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::folder::Folder;

/// Such that a stop that waits for a stream never ends.
const PATIENT: &str = "server.drain = \"10m\"";

#[test]
fn a_daemon_that_is_asked_to_stop_ends_its_streams_and_does_not_wait_for_them() {
    let mut daemon = Daemon::start(&Folder::new(), PATIENT);
    let all = daemon.events();
    let some = daemon.events_with("kind=serving,retired&plugin=echo");
    daemon.terminate();
    assert_eq!(daemon.exit_code(), Some(0));
    all.wait_for_end();
    some.wait_for_end();
}
