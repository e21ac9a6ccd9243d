//! The tokens that hold now, each with the pace of its requests. Knows no file.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

use super::limits::Pace;
use super::role::Role;
use super::secret::Secret;
use super::token::Token;

/// The tokens that hold now.
#[derive(Default)]
pub struct Book(HashMap<String, Entry>);

/// A token and what it has used of its rate.
pub(super) struct Entry {
    pub(super) token: Token,
    /// As it was made for: requests a second, and at once.
    paced: (u32, u32),
    pub(super) pace: Arc<Pace>,
}

/// What a secret is.
pub(super) enum Found<'a> {
    /// One of a token that holds.
    Valid(&'a Entry),
    /// One of a token whose time is over.
    Expired(&'a Token),
    /// None of ours.
    Wrong,
}

impl Book {
    /// The tokens of a file. Those that were there `before` go on where they were in their paces.
    pub(super) fn new(tokens: Vec<Token>, (rate, burst): (u32, u32), before: &Self) -> Self {
        let entry = |token: Token| {
            let paced = (token.rate.unwrap_or(rate), burst);
            let same = before.0.get(&token.id).filter(|it| it.paced == paced);
            let pace = match same {
                Some(entry) => Arc::clone(&entry.pace),
                None => Arc::new(Pace::new(paced.0, paced.1)),
            };
            let id = token.id.clone();
            (id, Entry { token, paced, pace })
        };
        Self(tokens.into_iter().map(entry).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub(super) fn tokens(&self) -> Vec<Token> {
        self.0.values().map(|entry| entry.token.clone()).collect()
    }

    /// Whether there is one of this id, whatever its secret.
    pub(super) fn has(&self, secret: &Secret) -> bool {
        self.0.contains_key(secret.id())
    }

    /// Whether the token of this id may still do what one of this role may.
    pub(super) fn holds(&self, id: &str, role: Role, now: DateTime<Utc>) -> bool {
        let token = self.0.get(id).map(|entry| &entry.token);
        token.is_some_and(|token| token.role >= role && !token.has_expired(now))
    }

    /// Takes as long for a wrong secret as for a right one, and hardly less where there is no such id.
    pub(super) fn find(&self, secret: &Secret, now: DateTime<Utc>) -> Found<'_> {
        const NOBODY: [u8; 32] = [0; 32];
        let entry = self.0.get(secret.id());
        let kept = entry.map_or(&NOBODY, |entry| entry.token.sha256.bytes());
        let is_right = bool::from(secret.digest().ct_eq(kept));
        match entry {
            Some(entry) if is_right && entry.token.has_expired(now) => Found::Expired(&entry.token),
            Some(entry) if is_right => Found::Valid(entry),
            _ => Found::Wrong,
        }
    }
}
