//! The gate that every request passes: who comes, whether that is known to be true, and whether it comes too often.
//! Follows the file of the tokens as it changes. Knows no route.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::Utc;
use tracing::{error, info, warn};

use super::book::{Book, Found};
use super::file::{self, FileError, State};
use super::limits::Strangers;
use super::role::Role;
use super::secret::Secret;
use super::token::Token;
use crate::error::CallError;

/// How often the file is looked at, in milliseconds: a token that was revoked holds no longer than that.
const LOOK_EVERY: u64 = 1000;
/// How soon it is looked at again for a token that is not known: it may just have been made.
const LOOK_SOON: u64 = 100;

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether nobody but this machine reaches the address that is listened on.
    pub is_local: bool,
    /// Whether those that come from this machine then need a token.
    pub local_needs: bool,
    /// Whether others may come although there are no tokens.
    pub insecure: bool,
    /// How many requests a token may make a second at first, where it has no rate of its own; 0: as many as it likes.
    pub rate: u32,
    /// How many of these at once.
    pub burst: u32,
}

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it may do.
    pub role: Role,
    /// Whose its jobs are: the id of its token, if it has shown one.
    pub owner: Option<String>,
    /// The name of its token.
    pub token: Option<String>,
}

impl Caller {
    /// One that needs no token, and may do everything.
    pub fn local() -> Self {
        Self {
            role: Role::Admin,
            owner: None,
            token: None,
        }
    }

    fn of(token: &Token) -> Self {
        Self {
            role: token.role,
            owner: Some(token.id.clone()),
            token: Some(token.name.clone()),
        }
    }

    /// Whether it may see and do what operators do.
    pub fn operates(&self) -> bool {
        self.role >= Role::Operate
    }

    /// Of whom alone it may see jobs; `None` for all of them.
    pub fn sees(&self) -> Option<&str> {
        if self.operates() {
            return None;
        }
        // Whoever is not let see all has shown a token; should that ever change, nobody is called this.
        Some(self.owner.as_deref().unwrap_or(""))
    }
}

/// What a request has shown of itself.
#[derive(Clone, Debug)]
pub enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// Text that may be a token.
    Bearer(&'a [u8]),
    /// Something else than a token.
    Other(&'static str),
}

/// The gate.
pub struct Access {
    rules: Rules,
    // Requests a second, and at once.
    paced: Mutex<(u32, u32)>,
    /// `None` where no file is followed.
    path: Option<PathBuf>,
    book: ArcSwap<Book>,
    // Whoever has made one does not mean to let all in when it is the last that goes.
    had_tokens: AtomicBool,
    strangers: Strangers,
    began: Instant,
    next_look: AtomicU64,
    seen: Mutex<Seen>,
}

/// What was last seen of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    State(State),
    /// The system did not say.
    Nothing,
}

impl Access {
    /// A gate for the tokens in `path`.
    ///
    /// # Errors
    /// When the file is there and cannot be trusted.
    pub fn open(path: &Path, rules: Rules) -> Result<Self, FileError> {
        let (state, tokens) = file::read(path)?;
        let mut access = Self::new(rules);
        access.path = Some(path.to_owned());
        access.seen = Mutex::new(Seen::State(state));
        access.take(tokens);
        Ok(access)
    }

    /// A gate that lets everybody in, as on loopback.
    pub fn unguarded() -> Self {
        Self::new(Rules {
            is_local: true,
            local_needs: false,
            insecure: false,
            rate: 0,
            burst: 1,
        })
    }

    fn new(rules: Rules) -> Self {
        Self {
            paced: Mutex::new((rules.rate, rules.burst)),
            rules,
            path: None,
            book: ArcSwap::default(),
            had_tokens: AtomicBool::new(false),
            strangers: Strangers::new(),
            began: Instant::now(),
            next_look: AtomicU64::new(LOOK_EVERY),
            seen: Mutex::new(Seen::State(None)),
        }
    }

    /// Whether strangers could come and there is no token to tell friends by.
    pub fn is_exposed(&self) -> bool {
        !self.rules.is_local && !self.rules.insecure && self.book.load().is_empty()
    }

    /// Whether nobody can come, for want of a token.
    pub fn is_shut(&self) -> bool {
        self.rules.is_local && self.rules.local_needs && self.book.load().is_empty()
    }

    /// The file with the tokens, if one is followed.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether a request without a token is refused, that came from `peer`: without one it came by a socket of this
    /// machine. It goes by the address that is listened on: whoever comes from this machine may be a proxy.
    pub fn needs_token(&self, peer: Option<IpAddr>) -> bool {
        let Rules {
            is_local,
            local_needs,
            insecure,
            ..
        } = self.rules;
        if is_local || peer.is_none() {
            return local_needs;
        }
        !insecure || self.had_tokens.load(Ordering::Relaxed)
    }

    /// Who comes; nobody where no token was shown and one is needed.
    ///
    /// # Errors
    /// `unauthorized` for what is no token that holds, `rate_limited` for too many of these, or of requests.
    pub fn admit(
        &self,
        shown: &Shown<'_>,
        peer: Option<IpAddr>,
    ) -> Result<Option<Caller>, CallError> {
        let text = match shown {
            Shown::Nothing => return Ok((!self.needs_token(peer)).then(Caller::local)),
            Shown::Bearer(text) => *text,
            Shown::Other(problem) => return Err(self.wrong(peer, problem)),
        };
        let Some(secret) = Secret::parse(text) else {
            return Err(self.wrong(peer, "what was shown as a token is none"));
        };
        let book = self.book.load();
        match book.find(&secret, Utc::now()) {
            Found::Valid(entry) => {
                let taken = entry.pace.take();
                taken.map_err(|wait| too_often(&entry.token, wait))?;
                Ok(Some(Caller::of(&entry.token)))
            }
            Found::Expired(token) => Err(expired(token)),
            Found::Wrong => Err(self.wrong(peer, "the token is not known here, or was revoked")),
        }
    }

    /// Whether who came from `peer` as `caller` would still be let in as such.
    pub fn holds(&self, caller: &Caller, peer: Option<IpAddr>) -> bool {
        match &caller.owner {
            None => !self.needs_token(peer),
            Some(id) => self.book.load().holds(id, caller.role, Utc::now()),
        }
    }

    /// Those who guess are slowed down; those who hold a token are not, wherever they come from.
    fn wrong(&self, peer: Option<IpAddr>, problem: &str) -> CallError {
        let verdict = self.strangers.note(peer);
        if verdict.is_news {
            let from = peer.map_or_else(
                || "a socket of this machine".to_owned(),
                |it| it.to_string(),
            );
            warn!(
                from,
                problem, "a wrong token was shown; more of them from there are told once a minute"
            );
        }
        match verdict.wait {
            Some(retry_after) => CallError::RateLimited {
                problem: "too many wrong tokens came from your address".to_owned(),
                retry_after,
            },
            None => CallError::Unauthorized {
                problem: format!(
                    "{problem}: send `Authorization: Bearer TOKEN` with one that `bulkhead token create` has made"
                ),
            },
        }
    }

    /// Whether it is time to [look at the file again](Self::look) before this is judged. Says so to one only.
    pub fn is_due(&self, shown: &Shown<'_>) -> bool {
        self.is_due_at(self.elapsed(), shown)
    }

    /// The same, so many milliseconds after the beginning.
    pub(super) fn is_due_at(&self, now: u64, shown: &Shown<'_>) -> bool {
        let matters = match shown {
            Shown::Nothing => self.rules.insecure && !self.had_tokens.load(Ordering::Relaxed),
            Shown::Bearer(_) => true,
            Shown::Other(_) => false,
        };
        let early = if self.is_news(shown) {
            LOOK_EVERY - LOOK_SOON
        } else {
            0
        };
        matters && self.takes_turn(now, early)
    }

    /// Whether it is time to look at the file again for those who [hold](Self::holds) on. Says so to one only.
    pub fn is_due_again(&self) -> bool {
        self.takes_turn(self.elapsed(), 0)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes the next look at the file, where it is due within so many milliseconds.
    fn takes_turn(&self, now: u64, early: u64) -> bool {
        let next = self.next_look.load(Ordering::Relaxed);
        self.path.is_some()
            && now + early >= next
            && self
                .next_look
                .compare_exchange(next, now + LOOK_EVERY, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether something has the form of a token, and is not known.
    fn is_news(&self, shown: &Shown<'_>) -> bool {
        let Shown::Bearer(text) = shown else {
            return false;
        };
        Secret::parse(text).is_some_and(|secret| !self.book.load().has(&secret))
    }

    /// Takes over what the file says, if it has changed; one that is broken changes nothing. Reads a file: not for
    /// async code.
    pub fn look(&self) {
        let Some(path) = &self.path else {
            return;
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let state = file::state(path);
        let now = state.as_ref().map_or(Seen::Nothing, |it| Seen::State(*it));
        if now == *seen {
            return;
        }
        *seen = now;
        match state.and_then(|_| file::read(path)) {
            Ok((state, tokens)) => {
                *seen = Seen::State(state);
                info!(tokens = tokens.len(), "the tokens have changed");
                self.take(tokens);
            }
            Err(problem) => {
                let cause = std::error::Error::source(&problem).map(ToString::to_string);
                error!(%problem, cause, "the tokens have changed and cannot be read: those before still hold");
            }
        }
    }

    /// From now on, tokens without a rate of their own may make so many requests a second, and all so many at once. Not
    /// for async code, as [`look`](Self::look) is not.
    pub fn set_pace(&self, rate: u32, burst: u32) {
        // Nobody takes over other tokens meanwhile.
        let _seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut paced = self.paced.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut *paced, (rate, burst));
        drop(paced);
        if was != (rate, burst) {
            self.take(self.book.load().tokens());
        }
    }

    fn take(&self, tokens: Vec<Token>) {
        let paced = *self.paced.lock().unwrap_or_else(PoisonError::into_inner);
        let book = Book::new(tokens, paced, &self.book.load());
        if !book.is_empty() {
            self.had_tokens.store(true, Ordering::Relaxed);
        }
        self.book.store(book.into());
    }
}

fn too_often(token: &Token, retry_after: Duration) -> CallError {
    CallError::RateLimited {
        problem: format!("the token `{}` makes more requests than it may", token.name),
        retry_after,
    }
}

/// Whoever has its secret may know.
fn expired(token: &Token) -> CallError {
    let when = token.expires().unwrap_or_default();
    CallError::Unauthorized {
        problem: format!(
            "the token `{}` expired at {when}: `bulkhead token create` makes a new one",
            token.name
        ),
    }
}
