//! What a host and its workers say to each other: small frames, each with the number of the call that
//! it belongs to. Knows no channel; any bytes may come from a worker, and what is no frame is told.

use std::borrow::Cow;

use bulkhead_plugin::abi::{CallFailure, FailureKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::platform::{Confinement, InForce, MAX_FRAME};

/// The first bytes of every frame, so that stray output is told from one.
const MAGIC: u32 = 0x4b48_4c42;

/// What both sides must be built from: a worker is the host's own binary, so that only a mistake
/// makes them differ.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");

/// The longest text of a plugin's in one frame, in bytes.
pub const MAX_TEXT: usize = 4 << 10;
/// The most facts that come with a failure, in bytes.
const MAX_DETAILS: usize = 24 << 10;
/// The most addresses of a backtrace.
const MAX_FRAMES: usize = 64;
/// The longest options that go in the frame itself; longer ones lie in memory beside the image.
pub const MAX_INLINE: usize = 32 << 10;

/// The number of no call: for what is said between calls.
pub const NO_CALL: u64 = 0;

/// What a host says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker<'a> {
    /// Confine yourself and load a plugin. Along come the memory with a [`Load`] in it, the library,
    /// one reply memory for each seat, and the channels of all seats but the first.
    Load {
        /// The bytes of the [`Load`], a JSON text, behind the first page of its memory.
        length: usize,
    },
    /// Here is memory for requests.
    Arena {
        /// Its number.
        id: u32,
    },
    /// Memory for requests is not used any more.
    Forget {
        /// Its number.
        id: u32,
    },
    /// Answer this.
    #[serde(borrow)]
    Call(Task<'a>),
}

/// A call, as a worker gets it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Task<'a> {
    /// The image.
    pub image: Region,
    /// Which flag of the image's arena is set once nobody waits any more.
    pub flag: u32,
    /// The image's MIME type.
    #[serde(borrow)]
    pub mime_type: Cow<'a, str>,
    /// The options, a JSON text.
    #[serde(borrow)]
    pub options: Text<'a>,
    /// How long there is to answer, in nanoseconds.
    pub remaining: u64,
}

/// A part of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The arena's number.
    pub arena: u32,
    /// Where it begins.
    pub offset: usize,
    /// The bytes in it.
    pub length: usize,
}

/// A text of any length.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Text<'a> {
    /// In the frame.
    Inline(#[serde(borrow)] Cow<'a, str>),
    /// In an arena.
    There(Region),
}

/// How a worker is to load a plugin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Load {
    /// What it is held to.
    pub confinement: Confinement,
    /// What to do once it is loaded.
    pub aim: Aim,
    /// How many calls at a time.
    pub seats: usize,
    /// The operator's settings for the plugin, a JSON text.
    pub settings: String,
    /// Whether answers are held to the plugin's own schema.
    pub check_output: bool,
    /// The host's process, for a worker that tries its confinement.
    pub host: u32,
}

/// What a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aim {
    /// Try to do what the confinement forbids.
    Prove,
    /// Load the plugin and describe it.
    Describe,
    /// Load the plugin, make an instance and let it test itself; then answer calls.
    Serve,
}

/// What a worker says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker<'a> {
    /// It is there.
    Hello {
        /// What it is built from.
        #[serde(borrow)]
        build: Cow<'a, str>,
    },
    /// It is confined, has loaded the plugin and waits for calls.
    Ready(Readiness),
    /// It cannot: a reason with its code, and which of the steps failed.
    Unfit {
        /// The reason, as in `details.reason`.
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// A line for the log; the level is 1 for errors to 4 for debugging.
    Log {
        /// How much it matters.
        level: u32,
        /// The line.
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// The share that is done.
    Progress(f32),
    /// The answer lies in the reply memory, part by part without gaps.
    Done(Answer<'a>),
    /// The answer is an error.
    Failed(#[serde(borrow)] Failure<'a>),
    /// The options break the plugin's schema.
    BadOptions(#[serde(borrow)] Vec<Breach<'a>>),
    /// The answer is none, or breaks the plugin's schema.
    BadOutput(#[serde(borrow)] Cow<'a, str>),
    /// The answer is larger than the reply memory: so many bytes.
    TooLarge(u64),
    /// It dies; the report is in the first page of the reply memory.
    Crash,
}

/// A worker that can begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// What holds it.
    pub in_force: InForce,
    /// The bytes in the reply memory: the plugin's manifest, or what the attempts came to.
    pub length: usize,
    /// Whether the library's panics unwind.
    pub panic_unwinds: bool,
    /// The address that the library has.
    pub base: Option<u64>,
}

/// One way in which options break their schema.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach<'a> {
    /// A JSON pointer into the options.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// What is wrong there.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Where the parts of an answer are.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer<'a> {
    /// The bytes of JSON, which come first.
    pub json: usize,
    /// What comes after it.
    #[serde(borrow)]
    pub attachments: Vec<Part<'a>>,
    /// The bytes of memory that the worker's own code and data hold; 0 if that is not known.
    pub memory: u64,
}

/// One attachment.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Part<'a> {
    /// Its file name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its MIME type.
    #[serde(borrow)]
    pub mime_type: Cow<'a, str>,
    /// Its bytes.
    pub length: usize,
}

/// Why a plugin gave no answer: a [`CallFailure`] within bounds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure<'a> {
    kind: u32,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    details: Cow<'a, str>,
    #[serde(borrow)]
    location: Cow<'a, str>,
    backtrace: Vec<u64>,
}

impl<'a> Failure<'a> {
    /// What fits a frame.
    pub fn of(failure: &'a CallFailure) -> Self {
        let details = match failure.details.len() {
            0..=MAX_DETAILS => failure.details.as_str(),
            _ => r#"{"truncated":true}"#,
        };
        let frames = failure.backtrace.iter().take(MAX_FRAMES);
        Self {
            kind: failure.kind.0,
            message: cut(&failure.message).into(),
            details: details.into(),
            location: cut(&failure.location).into(),
            backtrace: frames.copied().collect(),
        }
    }
}

impl From<Failure<'_>> for CallFailure {
    fn from(mut failure: Failure<'_>) -> Self {
        // Naming an address takes long, and it was the other side that should have counted them.
        failure.backtrace.truncate(MAX_FRAMES);
        Self {
            kind: FailureKind(failure.kind),
            message: failure.message.into_owned(),
            details: failure.details.into_owned(),
            location: failure.location.into_owned(),
            backtrace: failure.backtrace,
        }
    }
}

/// As much of a text as fits.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// A frame that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadFrame {
    /// It is too long for a frame.
    #[error("it has {0} bytes, over the limit of {MAX_FRAME}")]
    TooLong(usize),
    /// It does not begin as a frame does.
    #[error("it does not begin as a frame does")]
    NoMagic,
    /// What it says cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Something comes after its end.
    #[error("{0} bytes come after its end")]
    Trailing(usize),
    /// It belongs to another call.
    #[error("it belongs to call {found}, and {expected} is running")]
    WrongCall {
        /// The call that it names.
        found: u64,
        /// The call that runs.
        expected: u64,
    },
    /// It was not its turn.
    #[error("it says `{0}` where that says nothing")]
    OutOfTurn(&'static str),
}

/// Writes a frame of `call` into `buffer`, in place of what is there.
///
/// # Errors
/// [`BadFrame::TooLong`].
pub fn encode<M: Serialize>(call: u64, message: &M, buffer: &mut Vec<u8>) -> Result<(), BadFrame> {
    buffer.clear();
    buffer.extend_from_slice(&MAGIC.to_le_bytes());
    buffer.extend_from_slice(&call.to_le_bytes());
    let written = postcard::to_extend(message, std::mem::take(buffer));
    *buffer = written.map_err(|error| BadFrame::Unreadable(error.to_string()))?;
    match buffer.len() {
        0..=MAX_FRAME => Ok(()),
        length => Err(BadFrame::TooLong(length)),
    }
}

/// Reads a frame: its call, and what it says.
///
/// # Errors
/// What is wrong with it.
pub fn decode<'a, M: Deserialize<'a>>(frame: &'a [u8]) -> Result<(u64, M), BadFrame> {
    if frame.len() > MAX_FRAME {
        return Err(BadFrame::TooLong(frame.len()));
    }
    let (magic, rest) = frame.split_first_chunk().ok_or(BadFrame::NoMagic)?;
    if u32::from_le_bytes(*magic) != MAGIC {
        return Err(BadFrame::NoMagic);
    }
    let (call, rest) = rest.split_first_chunk().ok_or(BadFrame::NoMagic)?;
    let message = postcard::take_from_bytes(rest);
    let (message, after) = message.map_err(|error| BadFrame::Unreadable(error.to_string()))?;
    match after.len() {
        0 => Ok((u64::from_le_bytes(*call), message)),
        length => Err(BadFrame::Trailing(length)),
    }
}

/// Reads a JSON text that came in memory.
///
/// # Errors
/// [`BadFrame::Unreadable`].
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadFrame> {
    serde_json::from_slice(bytes).map_err(|error| BadFrame::Unreadable(error.to_string()))
}

impl FromWorker<'_> {
    /// Its name, for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "HELLO",
            Self::Ready(_) => "READY",
            Self::Unfit { .. } => "UNFIT",
            Self::Log { .. } => "LOG",
            Self::Progress(_) => "PROGRESS",
            Self::Done(_) => "DONE",
            Self::Failed(_) => "FAILED",
            Self::BadOptions(_) => "BAD OPTIONS",
            Self::BadOutput(_) => "BAD OUTPUT",
            Self::TooLarge(_) => "TOO LARGE",
            Self::Crash => "CRASH",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(call: u64, message: &FromWorker<'_>) -> Vec<u8> {
        let mut buffer = Vec::new();
        encode(call, message, &mut buffer).unwrap();
        buffer
    }

    #[test]
    fn what_was_said_is_what_is_heard() {
        let failure = CallFailure {
            kind: FailureKind::PANIC,
            message: "kaboom".to_owned(),
            details: String::new(),
            location: "src/lib.rs:1:2".to_owned(),
            backtrace: vec![1, 2],
        };
        let said = FromWorker::Failed(Failure::of(&failure));
        let bytes = frame(7, &said);
        let (call, FromWorker::Failed(heard)) = decode(&bytes).unwrap() else {
            panic!("it was a failure")
        };
        assert_eq!((call, CallFailure::from(heard)), (7, failure));
    }

    #[test]
    fn a_failure_of_any_size_fits_a_frame() {
        let long = "é".repeat(100_000);
        let failure = CallFailure {
            kind: FailureKind::FAILED,
            message: long.clone(),
            details: format!("{{\"a\":\"{long}\"}}"),
            location: long,
            backtrace: vec![u64::MAX; 10_000],
        };
        let bytes = frame(u64::MAX, &FromWorker::Failed(Failure::of(&failure)));
        assert!(bytes.len() <= MAX_FRAME);
    }

    #[test]
    fn a_backtrace_is_bounded_by_who_hears_it() {
        let said = Failure {
            kind: FailureKind::PANIC.0,
            message: "".into(),
            details: "".into(),
            location: "".into(),
            backtrace: vec![1; 10_000],
        };
        let bytes = frame(1, &FromWorker::Failed(said));
        let (_, FromWorker::Failed(heard)) = decode(&bytes).unwrap() else {
            panic!("it was a failure")
        };
        assert_eq!(CallFailure::from(heard).backtrace.len(), MAX_FRAMES);
    }

    #[test]
    fn what_is_no_frame_is_told() {
        let good = frame(1, &FromWorker::Progress(0.5));
        let mut longer = good.clone();
        longer.push(0);
        let heard = |bytes: &[u8]| decode::<FromWorker<'_>>(bytes).map(drop).unwrap_err();
        assert_eq!(heard(&longer), BadFrame::Trailing(1));
        assert_eq!(heard(b"hello"), BadFrame::NoMagic);
        assert_eq!(
            heard(&vec![0; MAX_FRAME + 1]),
            BadFrame::TooLong(MAX_FRAME + 1)
        );
        for end in 0..good.len() {
            heard(&good[..end]);
        }
    }

    #[test]
    fn ou_02_a_length_that_is_too_long_allocates_nothing() {
        // The last number of this frame is the length of a text.
        let mut claims = frame(
            1,
            &FromWorker::Log {
                level: 1,
                text: "".into(),
            },
        );
        claims.pop();
        claims.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(matches!(
            decode::<FromWorker<'_>>(&claims),
            Err(BadFrame::Unreadable(_))
        ));
    }

    /// What was heard can be said again, in no more bytes, and is heard as the same.
    fn said_again<'a, M: Serialize + Deserialize<'a>>(bytes: &'a [u8]) {
        let Ok((call, message)) = decode::<M>(bytes) else {
            return;
        };
        let mut again = Vec::new();
        encode(call, &message, &mut again).unwrap();
        assert!(again.len() <= bytes.len());
        assert_eq!(bytes.len() == again.len(), bytes == again);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let framed = [&MAGIC.to_le_bytes()[..], &bytes].concat();
            said_again::<FromWorker<'_>>(&framed);
            said_again::<ToWorker<'_>>(&framed);
        }
    }
}
