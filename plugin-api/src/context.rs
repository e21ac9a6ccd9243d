//! What a plugin may ask of its host while it runs. Knows the host only as a [`Host`].

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{Attachment, Error};

/// The host's side of a running call. May be shared between the threads of the call.
pub struct Context<'a> {
    cancelled: &'a AtomicBool,
    host: &'a (dyn Host + Sync),
    attachments: Mutex<Vec<Attachment>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(cancelled: &'a AtomicBool, host: &'a (dyn Host + Sync)) -> Self {
        Self {
            cancelled,
            host,
            attachments: Mutex::default(),
        }
    }

    /// Whether nobody waits for the answer any more. Long work should look now and then, and give
    /// up with [`Error::cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// `Err` once [`is_cancelled`](Self::is_cancelled), to be used with `?` in loops.
    ///
    /// # Errors
    /// [`Error::cancelled`].
    pub fn check_cancelled(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }

    /// The time that is left to answer; zero when it is over, `None` when there is no deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.host.remaining()
    }

    /// Tells how much is done, from 0 to 1; what lies outside is clamped, and NaN is ignored.
    pub fn progress(&self, fraction: f32) {
        if !fraction.is_nan() {
            self.host.progress(fraction.clamp(0.0, 1.0));
        }
    }

    /// Writes a line to the host's log, under the call's request id.
    pub fn log(&self, level: Level, message: impl Display) {
        self.host.log(level, &message.to_string());
    }

    /// Adds binary data to the answer, beside its JSON.
    pub fn attach(&self, name: &str, mime_type: &str, data: Vec<u8>) {
        let attachment = Attachment {
            name: name.to_owned(),
            mime_type: mime_type.to_owned(),
            data,
        };
        self.attachments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(attachment);
    }

    pub(crate) fn into_attachments(self) -> Vec<Attachment> {
        self.attachments
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The call could not do its work.
    Error,
    /// Somebody should look at it some day.
    Warn,
    /// Worth a line in normal operation.
    Info,
    /// For the plugin's author.
    Debug,
}

impl Level {
    /// Its number wherever plugin and host meet: 1 for errors to 4 for debugging.
    pub fn number(self) -> u32 {
        match self {
            Self::Error => 1,
            Self::Warn => 2,
            Self::Info => 3,
            Self::Debug => 4,
        }
    }

    /// The level of a number; one that is not known counts as the nearest.
    pub fn of(number: u32) -> Self {
        match number {
            0 | 1 => Self::Error,
            2 => Self::Warn,
            3 => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// The side of the host that a call can reach.
pub(crate) trait Host {
    fn progress(&self, fraction: f32);
    fn remaining(&self) -> Option<Duration>;
    fn log(&self, level: Level, message: &str);
}
