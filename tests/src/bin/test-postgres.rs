//! The PostgreSQL server that all tests of a run share: prints its url, and ends with its standard input.

use std::io::{self, Read};

use bulkhead_tests::postgres::Postgres;

fn main() {
    let server = Postgres::start_shared();
    println!("{}", server.url());
    let _ = io::stdin().read_to_end(&mut Vec::new());
}
