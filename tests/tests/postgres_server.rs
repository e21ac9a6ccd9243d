//! The server that tests of the job store run against.

use bulkhead_tests::postgres::{Postgres, query};

#[test]
fn it_keeps_what_it_was_told_over_its_end() {
    if Postgres::is_skipped() {
        return;
    }
    let server = Postgres::start();
    let (one, other) = (server.database(), server.database());
    assert_ne!(one, other);
    query(&one, "CREATE TABLE t AS SELECT 7 AS it");
    server.stop();
    server.resume();
    assert_eq!(query(&one, "SELECT it FROM t"), "7");
    server.kill();
    server.resume();
    assert_eq!(query(&one, "SELECT it FROM t; SHOW fsync"), "7\non");
}
