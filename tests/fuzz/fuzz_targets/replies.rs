//! A worker that says anything, in any order, with anything in its memory: the host makes an answer
//! within bounds of it, or an error that can be told.

#![no_main]

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use bulkhead::call::{Attachment, Call, Payload, RawOutput};
use bulkhead::envelope::Envelope;
use bulkhead::error::CallError;
use bulkhead::lane::worker::heard::{Answered, Heard, Running, Speaker};
use bulkhead::lane::worker::protocol::{Answer, FromWorker, Part, decode, encode};
use bulkhead::loader::Symbols;
use bulkhead::names::PluginName;
use bulkhead::platform::{MappedReplies, ReplyMemory, Side};
use bulkhead::platform::{PAGE, crash};
use bulkhead::validation::{OutputRules, SchemaCheck};
use bytes::Bytes;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const NUMBER: u64 = 7;
/// The bytes of reply memory.
const SIZE: usize = 8 << 10;
/// What an answer may have; less than its memory holds.
const MAX_OUTPUT: usize = 6 << 10;

/// All that one worker does.
#[derive(Arbitrary, Debug)]
struct Script<'a> {
    page: Page<'a>,
    /// Where its plugin is mapped.
    base: u64,
    /// Whether somebody asks for the names of addresses.
    names: bool,
    said: Vec<Said<'a>>,
    memory: &'a [u8],
}

#[derive(Arbitrary, Debug)]
struct Page<'a> {
    stage: u8,
    signal: u8,
    rest: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Said<'a> {
    Anything(&'a [u8]),
    /// Behind the first bytes of a good frame.
    Framed(&'a [u8]),
    Log(u32, &'a str),
    Progress(f32),
    Done {
        json: u16,
        parts: Vec<(&'a str, &'a str, u16)>,
        memory: u64,
    },
    Outside {
        json: usize,
        parts: Vec<usize>,
    },
    Failed {
        kind: u8,
        message: &'a str,
        details: &'a str,
        location: &'a str,
        backtrace: Vec<u64>,
        times: u8,
    },
    TooLarge(u64),
    Crash,
    OfAnother(u64),
}

/// What is made once.
struct Host {
    replies: ReplyMemory,
    theirs: MappedReplies,
    rules: OutputRules,
    call: Arc<Call>,
    library: PathBuf,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
}

fuzz_target!(|script: Script<'_>| {
    HOST.with_borrow_mut(|host| host.face(&script));
});

impl Host {
    fn new() -> Self {
        let side = Side::fast().expect("fuzzing is done on Linux");
        let replies = ReplyMemory::create(&side, SIZE).unwrap();
        let theirs = MappedReplies::map(replies.handle().unwrap()).unwrap();
        let schema = json!({"properties": {"score": {"type": "number"}}});
        let name = PluginName::parse("any").unwrap();
        let payload = Payload::Heap(Bytes::new());
        let sample = "seeds/libraries/linux.so";
        Self {
            replies,
            theirs,
            rules: OutputRules::compile(MAX_OUTPUT, &schema, SchemaCheck::Always).unwrap(),
            call: Arc::new(Call::new(name, payload, String::new())),
            library: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(sample),
        }
    }

    fn face(&mut self, script: &Script<'_>) {
        let memory = &script.memory[..script.memory.len().min(SIZE)];
        assert!(self.theirs.write(0, memory));
        let symbols = Symbols::new(self.library.clone(), Some(script.base));
        self.read_report(&script.page, script.names.then_some(&symbols));
        let mut running = Running::new(NUMBER, &self.call);
        let speaker = Speaker {
            replies: &self.replies,
            symbols: &symbols,
            memory: 1 << 20,
        };
        for said in &script.said {
            let heard = running.hear(&said.frame(), &speaker);
            assert!((0.0..=1.0).contains(&self.call.progress()));
            match heard {
                Heard::Nothing => {}
                Heard::Answer(Answered { outcome, .. }) => {
                    match outcome.and_then(|raw| self.check(raw)) {
                        Ok(()) => {}
                        Err(error) => tell(&error, script.names),
                    }
                }
                Heard::Dying => assert!(said.may_end()),
                Heard::Nonsense(problem) => {
                    let traceback = String::new().into();
                    tell(&CallError::Protocol { problem, traceback }, script.names);
                }
            }
        }
    }

    fn check(&self, raw: RawOutput) -> Result<(), CallError> {
        let parts = |all: &[Attachment]| all.iter().map(|it| it.data.len()).sum::<usize>();
        let total = raw.json.len() + parts(&raw.attachments);
        assert!(total <= SIZE);
        let output = self.rules.check(raw)?;
        assert!(total <= MAX_OUTPUT);
        let value: serde_json::Value = serde_json::from_slice(output.json()).unwrap();
        assert!(value.is_object());
        Ok(())
    }

    fn read_report(&self, script: &Page<'_>, symbols: Option<&Symbols>) {
        let mut page = [0; PAGE];
        let rest = &script.rest[..script.rest.len().min(PAGE - 8)];
        page[0] = script.stage % 5;
        page[4] = script.signal;
        page[8..8 + rest.len()].copy_from_slice(rest);
        let Some(report) = crash::parse(&page) else {
            return;
        };
        assert!(report.backtrace.len() <= 64 && report.thread.len() <= 160);
        assert!(!report.thread.contains(char::is_control));
        assert!(report.signal_name().starts_with("SIG"));
        if let Some(symbols) = symbols {
            let named = symbols.name_crash(report.ip, &report.backtrace);
            assert!(named.text.lines().count() <= 1000);
        }
    }
}

/// What callers, and operators, get to see.
fn tell(error: &CallError, names: bool) {
    let envelope = Envelope::new(error, None);
    assert!(envelope.error.message.len() <= 1024);
    let details = serde_json::to_string(&envelope.error.details).unwrap();
    assert!(details.len() <= (16 << 10) + 64);
    assert!(envelope.error.details["code"].is_string());
    serde_json::to_string(&envelope.error).unwrap();
    if names {
        serde_json::to_string(&envelope).unwrap();
    }
}

impl Said<'_> {
    /// Whether it can say that the worker dies.
    fn may_end(&self) -> bool {
        matches!(self, Self::Anything(_) | Self::Framed(_) | Self::Crash)
    }

    fn frame(&self) -> Vec<u8> {
        match self {
            Self::Anything(bytes) => bytes.to_vec(),
            Self::Framed(bytes) => {
                let mut frame = framed(&());
                frame.extend_from_slice(bytes);
                frame
            }
            Self::Log(level, text) => framed(&FromWorker::Log {
                level: *level,
                text: (*text).into(),
            }),
            Self::Progress(fraction) => framed(&FromWorker::Progress(*fraction)),
            Self::Done {
                json,
                parts,
                memory,
            } => framed(&FromWorker::Done(Answer {
                json: (*json).into(),
                attachments: parts
                    .iter()
                    .map(|it| part(it.0, it.1, it.2.into()))
                    .collect(),
                memory: *memory,
            })),
            Self::Outside { json, parts } => framed(&FromWorker::Done(Answer {
                json: *json,
                attachments: parts.iter().map(|length| part("", "", *length)).collect(),
                memory: 0,
            })),
            Self::Failed { .. } => self.failure(),
            Self::TooLarge(total) => framed(&FromWorker::TooLarge(*total)),
            Self::Crash => framed(&FromWorker::Crash),
            Self::OfAnother(number) => {
                let mut frame = Vec::new();
                encode(*number, &FromWorker::Progress(2.0), &mut frame).unwrap();
                frame
            }
        }
    }

    /// As a worker writes it that keeps to no bounds.
    fn failure(&self) -> Vec<u8> {
        let Self::Failed {
            kind,
            message,
            details,
            location,
            backtrace,
            times,
        } = self
        else {
            return Vec::new();
        };
        let times = usize::from(*times) + 1;
        let fields = (
            u32::from(kind % 8),
            message.repeat(times),
            details,
            location.repeat(times),
            backtrace.repeat(times),
        );
        let frame = framed(&(6_u32, fields));
        let decoded = decode::<FromWorker<'_>>(&frame);
        assert!(frame.is_empty() || matches!(decoded, Ok((_, FromWorker::Failed(_)))));
        frame
    }
}

/// A frame of the call that runs; nothing where it is too long for one.
fn framed<M: serde::Serialize>(message: &M) -> Vec<u8> {
    let mut frame = Vec::new();
    match encode(NUMBER, message, &mut frame) {
        Ok(()) => frame,
        Err(_) => Vec::new(),
    }
}

fn part<'a>(name: &'a str, mime_type: &'a str, length: usize) -> Part<'a> {
    Part {
        name: name.into(),
        mime_type: mime_type.into(),
        length,
    }
}
