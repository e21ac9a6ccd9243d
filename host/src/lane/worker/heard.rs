//! What comes of a frame that a worker sends while it has a call. Whatever a worker says is taken for
//! any bytes. Waits for nothing and ends nobody: that is the seat's.

use std::sync::Arc;

use bulkhead_plugin::Level;
use bytes::Bytes;

use super::protocol::{self, Answer, BadFrame, Breach, FromWorker};
use crate::call::{Attachment, Call, Outcome, RawOutput};
use crate::error::{CallError, Traceback, Violation};
use crate::lane::failure;
use crate::lane::plugin_log;
use crate::loader::Symbols;
use crate::platform::ReplyMemory;

/// The most bytes of log lines by way of the SDK, in one call.
const LOG_PER_CALL: usize = 64 << 10;
/// What a line costs besides its text, so that empty ones have an end too.
const LOG_LINE: usize = 64;
/// The most frames of one call: the SDK sends one for each log line, and for each thousandth of
/// progress.
const FRAMES_PER_CALL: usize = 100_000;
/// A worker beyond this part of its memory is replaced after its call.
const WATERMARK_PERCENT: u64 = 75;

/// A call that a worker has.
pub struct Running<'a> {
    pub(super) number: u64,
    pub(super) call: &'a Arc<Call>,
    logged: usize,
    frames: usize,
}

/// What must be known of a worker to understand it.
pub struct Speaker<'a> {
    /// Where its answers lie.
    pub replies: &'a ReplyMemory,
    /// Where the names of its addresses are.
    pub symbols: &'a Symbols,
    /// The bytes of memory that it may have.
    pub memory: u64,
}

/// What a frame has said.
#[derive(Debug)]
pub enum Heard {
    /// Nothing that ends the call.
    Nothing,
    /// How the call ends.
    Answer(Answered),
    /// The worker dies.
    Dying,
    /// Nothing that a worker may say: the problem.
    Nonsense(String),
}

/// How a call ends.
#[derive(Debug)]
pub struct Answered {
    /// What the caller gets.
    pub outcome: Outcome,
    /// Whether the worker is not to have another call.
    pub replace: bool,
}

impl<'a> Running<'a> {
    /// A call that is handed over under this number.
    pub fn new(number: u64, call: &'a Arc<Call>) -> Self {
        Self {
            number,
            call,
            logged: 0,
            frames: 0,
        }
    }

    /// What comes of the next frame.
    pub fn hear(&mut self, frame: &[u8], speaker: &Speaker<'_>) -> Heard {
        let (number, message) = match protocol::decode(frame) {
            Ok(heard) => heard,
            Err(error) => return Heard::Nonsense(error.to_string()),
        };
        if let FromWorker::Crash = message {
            return Heard::Dying;
        }
        self.frames += 1;
        if self.frames > FRAMES_PER_CALL {
            return Heard::Nonsense(format!(
                "it says more than {FRAMES_PER_CALL} things in one call"
            ));
        }
        if number != self.number {
            let (found, expected) = (number, self.number);
            return Heard::Nonsense(BadFrame::WrongCall { found, expected }.to_string());
        }
        match message {
            FromWorker::Log { level, text } => {
                self.log(level, &text);
                Heard::Nothing
            }
            FromWorker::Progress(fraction) => {
                self.call.set_progress(fraction);
                Heard::Nothing
            }
            FromWorker::Done(answer) => match speaker.read(&answer) {
                Some(output) => Heard::Answer(Answered {
                    outcome: Ok(output),
                    replace: speaker.is_heavy(answer.memory),
                }),
                None => Heard::Nonsense("its answer is longer than its memory".to_owned()),
            },
            FromWorker::Failed(failure) => {
                let failure = failure.into();
                let error = failure::explain(failure, |addresses| speaker.name(addresses));
                // An instance that has panicked is not used again, nor is what was around it.
                let replace = matches!(error, CallError::Panicked { .. });
                let outcome = Err(error);
                Heard::Answer(Answered { outcome, replace })
            }
            FromWorker::BadOptions(breaches) => Heard::Answer(Answered {
                outcome: Err(CallError::InvalidOptions {
                    violations: breaches.into_iter().map(violation).collect(),
                }),
                replace: false,
            }),
            FromWorker::BadOutput(problem) => Heard::Answer(Answered {
                outcome: Err(CallError::invalid_output(problem)),
                replace: false,
            }),
            FromWorker::TooLarge(total) => {
                let limit = speaker.replies.size();
                let problem =
                    format!("the plugin answered {total} bytes, over the limit of {limit}");
                Heard::Answer(Answered {
                    outcome: Err(CallError::invalid_output(problem)),
                    replace: true,
                })
            }
            FromWorker::Hello { .. }
            | FromWorker::Ready(_)
            | FromWorker::Unfit { .. }
            | FromWorker::Crash => Heard::Nonsense(BadFrame::OutOfTurn(message.name()).to_string()),
        }
    }

    fn log(&mut self, level: u32, text: &str) {
        self.logged += text.len() + LOG_LINE;
        if self.logged <= LOG_PER_CALL {
            plugin_log::line(self.call, Level::of(level), text);
        }
    }
}

fn violation(breach: Breach<'_>) -> Violation {
    Violation {
        path: breach.path.into_owned(),
        reason: breach.reason.into_owned(),
    }
}

impl Speaker<'_> {
    /// Copies an answer out, in one piece for each of its parts.
    fn read(&self, answer: &Answer<'_>) -> Option<RawOutput> {
        let json = self.replies.read(0, answer.json)?;
        let mut offset = answer.json;
        let parts = answer.attachments.iter().map(|part| {
            let data = self.replies.read(offset, part.length)?;
            offset += part.length;
            Some(Attachment {
                name: part.name.clone().into_owned(),
                mime_type: part.mime_type.clone().into_owned(),
                data: Bytes::from(data),
            })
        });
        Some(RawOutput {
            attachments: parts.collect::<Option<_>>()?,
            json: Bytes::from(json),
        })
    }

    fn name(&self, addresses: Vec<u64>) -> Traceback {
        let symbols = self.symbols.clone();
        Traceback::later(move || symbols.name(&addresses))
    }

    fn is_heavy(&self, memory: u64) -> bool {
        memory > self.memory / 100 * WATERMARK_PERCENT
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::protocol::Part;
    use super::*;
    use crate::call::Payload;
    use crate::names::PluginName;
    use crate::platform::Side;

    const NUMBER: u64 = 7;
    const SIZE: usize = 4096;

    /// What comes of frames, with reply memory of `SIZE` zeros.
    struct Fixture {
        replies: ReplyMemory,
        symbols: Symbols,
        _folder: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let side = Side::portable(folder.path().to_owned());
            Self {
                replies: ReplyMemory::create(&side, SIZE).unwrap(),
                symbols: Symbols::new(PathBuf::from("none"), Some(0)),
                _folder: folder,
            }
        }

        fn hear(&self, frame: &[u8]) -> Heard {
            let payload = Payload::Heap(Bytes::new());
            let name = PluginName::parse("any").unwrap();
            let call = Arc::new(Call::new(name, payload, String::new()));
            let speaker = Speaker {
                replies: &self.replies,
                symbols: &self.symbols,
                memory: 1 << 20,
            };
            Running::new(NUMBER, &call).hear(frame, &speaker)
        }

        fn answer(&self, json: usize, parts: &[usize]) -> Heard {
            let part = |length: &usize| Part {
                name: "a".into(),
                mime_type: "b/c".into(),
                length: *length,
            };
            let message = FromWorker::Done(Answer {
                json,
                attachments: parts.iter().map(part).collect(),
                memory: 0,
            });
            self.hear(&frame(NUMBER, &message))
        }
    }

    fn frame(number: u64, message: &FromWorker<'_>) -> Vec<u8> {
        let mut frame = Vec::new();
        protocol::encode(number, message, &mut frame).unwrap();
        frame
    }

    #[test]
    fn an_answer_outside_its_memory_is_nonsense() {
        let fixture = Fixture::new();
        let fits = |json, parts: &[usize]| match fixture.answer(json, parts) {
            Heard::Answer(Answered { outcome, .. }) => outcome.is_ok(),
            _ => false,
        };
        assert!(fits(SIZE, &[]) && fits(0, &[SIZE]) && fits(SIZE - 2, &[1, 1, 0]));
        for (json, parts) in [
            (SIZE + 1, &[][..]),
            (usize::MAX, &[]),
            (1, &[usize::MAX]),
            (SIZE, &[1]),
            (0, &[1, usize::MAX - 1, 2]),
        ] {
            assert!(!fits(json, parts), "{json} {parts:?}");
        }
    }

    #[test]
    fn what_belongs_to_another_call_ends_none() {
        let heard = Fixture::new().hear(&frame(NUMBER + 1, &FromWorker::TooLarge(1)));
        assert!(matches!(heard, Heard::Nonsense(_)));
    }

    proptest! {
        #[test]
        fn any_frame_is_heard(noise in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..10) {
            let fixture = Fixture::new();
            fixture.hear(&noise);
            let mut framed = frame(NUMBER, &FromWorker::Crash);
            *framed.last_mut().unwrap() = kind;
            framed.extend_from_slice(&noise);
            fixture.hear(&framed);
        }

        #[test]
        fn an_answer_has_what_it_says_or_is_nonsense(
            json in 0..2 * SIZE,
            parts in prop::collection::vec(prop_oneof![0..SIZE, any::<usize>()], 0..4),
        ) {
            let total = parts.iter().try_fold(json, |sum, part| sum.checked_add(*part));
            let fits = total.is_some_and(|total| total <= SIZE);
            match Fixture::new().answer(json, &parts) {
                Heard::Answer(Answered { outcome, .. }) => {
                    prop_assert!(fits);
                    let RawOutput { json: text, attachments } = outcome.unwrap();
                    prop_assert_eq!(text.len(), json);
                    prop_assert!(attachments.iter().map(|it| it.data.len()).eq(parts));
                }
                Heard::Nonsense(_) => prop_assert!(!fits),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
