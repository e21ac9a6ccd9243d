use rusqlite::Connection;

use crate::jobs::sqlite::{beside, forget, look, migrations, run};

/// The plan of a statement: an index that is searched, nothing that is sorted, no table that is read through.
fn check(sql: &str, index: &str) {
    let connection = Connection::open_in_memory().unwrap();
    migrations::carry_out(&connection, migrations::ALL).unwrap();
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let rows = statement.raw_query().mapped(|row| row.get::<_, String>(3));
    let plan: Vec<_> = rows.map(Result::unwrap).collect();
    let [step] = plan.as_slice() else {
        panic!("{sql}: {plan:?}")
    };
    assert!(step.contains(index), "{sql}: {step}");
}

#[test]
fn looks_go_along_their_indexes() {
    check(
        look::PENDING,
        "SEARCH jobs USING COVERING INDEX jobs_pending (id<?)",
    );
    check(
        look::ENDED,
        "SEARCH jobs USING COVERING INDEX jobs_ended_by_kind (kind=? AND status=? AND id<?)",
    );
    check(
        look::ENDED_OF,
        "SEARCH jobs USING COVERING INDEX jobs_ended_by_plugin (plugin=? AND kind=? AND status=? AND id<?)",
    );
    let waiting = "SEARCH jobs USING COVERING INDEX jobs_waiting (plugin=? AND priority=?";
    check(look::NEXT_DUE, waiting);
    check(look::WAITING, waiting);
    check(
        look::NEXT_PLUGIN,
        "SEARCH jobs USING COVERING INDEX jobs_waiting (plugin>?)",
    );
}

#[test]
fn the_writer_goes_along_indexes() {
    check(
        run::NEXT,
        "SEARCH jobs USING COVERING INDEX jobs_waiting (plugin=? AND priority=? AND not_before<?)",
    );
    check(
        forget::BEYOND,
        "SEARCH jobs USING COVERING INDEX jobs_ended_at (kind=?)",
    );
    check(
        forget::OLDEST,
        "SEARCH jobs USING INDEX jobs_ended_at (kind=? AND ",
    );
    check(
        beside::DUE,
        "SEARCH jobs USING COVERING INDEX jobs_callback (callback_due",
    );
}
