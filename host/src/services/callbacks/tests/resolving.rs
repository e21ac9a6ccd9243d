//! Names that lead to several places, and to others from one moment to the next.

use std::net::SocketAddr;
use std::sync::Mutex;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, time};
use ureq::{Error, Timeout};

use super::super::deliver::Judging;

/// Gives the next of its answers to each question.
#[derive(Debug)]
struct Names(Mutex<Vec<&'static [&'static str]>>);

impl Resolver for Names {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut answer = self.empty();
        for address in self.0.lock().unwrap().remove(0) {
            answer.push(address.parse().unwrap());
        }
        Ok(answer)
    }
}

fn resolve(judging: &Judging<Names>) -> Result<Vec<SocketAddr>, String> {
    let after = time::Duration::NotHappening;
    let timeout = NextTimeout {
        after,
        reason: Timeout::Global,
        ..NextTimeout::default()
    };
    let uri = "http://example.com/".parse().unwrap();
    let found = judging.resolve(&uri, &Config::default(), timeout);
    found
        .map(|found| found.iter().copied().collect())
        .map_err(|error| error.to_string())
}

fn judging(internal: bool, answers: &[&'static [&'static str]]) -> Judging<Names> {
    Judging {
        internal,
        inner: Names(Mutex::new(answers.to_vec())),
    }
}

#[test]
fn only_public_addresses_are_handed_on() {
    let answers: &[&[&str]] = &[
        &[
            "127.0.0.1:80",
            "8.8.8.8:80",
            "[::ffff:10.0.0.1]:80",
            "[2606:4700::1]:80",
        ],
        &["169.254.169.254:80"],
        &["[::1]:80", "10.0.0.1:80"],
    ];
    let judging = judging(false, answers);
    let public: Vec<SocketAddr> = vec![
        "8.8.8.8:80".parse().unwrap(),
        "[2606:4700::1]:80".parse().unwrap(),
    ];
    assert_eq!(resolve(&judging), Ok(public));
    for _ in 0..2 {
        let refused = resolve(&judging).unwrap_err();
        assert!(refused.contains("has no public address"), "{refused}");
    }
}

#[test]
fn an_operator_may_want_inner_addresses() {
    let judging = judging(true, &[&["127.0.0.1:80", "10.0.0.1:80"]]);
    assert_eq!(resolve(&judging).unwrap().len(), 2);
}
