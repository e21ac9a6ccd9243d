//! How much is borne: wrong tokens from one address, requests of one token. Knows no token.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How many wrong tokens an address may show at once.
pub(super) const WRONG_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).expect("it is not 0");
/// And after that, one in so long.
pub(super) const WRONG_EVERY: Duration = Duration::from_secs(3);
/// How often the log hears of one address.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// The most addresses that are told apart; what comes beyond that counts as one.
const ADDRESSES: usize = 10_000;
/// Whom all those count as for whom there is no room.
const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Those who show wrong tokens, by their addresses.
pub(super) struct Strangers {
    wrong: DefaultKeyedRateLimiter<IpAddr>,
    told: DefaultKeyedRateLimiter<IpAddr>,
    most: usize,
    began: Instant,
    // In seconds since then: to look through all of them takes a while.
    shrunk: AtomicU64,
}

/// What is to be done about a wrong token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How long its address is to wait, if it has shown too many.
    pub(super) wait: Option<Duration>,
    /// Whether the log is to hear of it.
    pub(super) is_news: bool,
}

impl Strangers {
    pub(super) fn new() -> Self {
        Self::at_most(ADDRESSES)
    }

    pub(super) fn at_most(most: usize) -> Self {
        let every = |period| Quota::with_period(period).expect("it is not 0");
        Self {
            wrong: RateLimiter::keyed(every(WRONG_EVERY).allow_burst(WRONG_AT_ONCE)),
            told: RateLimiter::keyed(every(TOLD_EVERY)),
            most,
            began: Instant::now(),
            shrunk: AtomicU64::new(0),
        }
    }

    /// Notes a wrong token from `peer`; without one it came by a socket of this machine.
    pub(super) fn note(&self, peer: Option<IpAddr>) -> Verdict {
        let peer = network(peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        self.make_room();
        let place = |limiter: &DefaultKeyedRateLimiter<IpAddr>| {
            let is_full = limiter.len() >= self.most;
            if is_full { OTHERS } else { peer }
        };
        let wrong = check(&self.wrong, place(&self.wrong));
        let told = check(&self.told, place(&self.told));
        Verdict {
            wait: wrong.err(),
            is_news: told.is_ok(),
        }
    }

    /// Those who have been quiet for long enough are forgotten when there is no room left, at most once a second.
    fn make_room(&self) {
        if self.wrong.len().max(self.told.len()) < self.most {
            return;
        }
        let now = self.began.elapsed().as_secs() + 1;
        if self.shrunk.swap(now, Ordering::Relaxed) < now {
            self.wrong.retain_recent();
            self.told.retain_recent();
        }
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.wrong.len().max(self.told.len())
    }
}

/// The address under which `peer` counts: whoever has one of IPv6 has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(peer) => {
            let [a, b, c, d, ..] = peer.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        peer @ IpAddr::V4(_) => peer,
    }
}

fn check(limiter: &DefaultKeyedRateLimiter<IpAddr>, peer: IpAddr) -> Result<(), Duration> {
    let clock = DefaultClock::default();
    let checked = limiter.check_key(&peer);
    checked.map_err(|until| until.wait_time_from(clock.now()))
}

/// The requests of one token; nothing where it may make as many as it likes.
pub(super) struct Pace(Option<DefaultDirectRateLimiter>);

impl Pace {
    /// So many a second, and so many at once.
    pub(super) fn new(rate: u32, burst: u32) -> Self {
        let rate = NonZeroU32::new(rate);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        Self(rate.map(|rate| RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))))
    }

    /// Counts one request.
    ///
    /// # Errors
    /// How long it is to wait, where there were too many.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.0 else {
            return Ok(());
        };
        let clock = DefaultClock::default();
        let taken = limiter.check();
        taken.map_err(|until| until.wait_time_from(clock.now()))
    }
}
