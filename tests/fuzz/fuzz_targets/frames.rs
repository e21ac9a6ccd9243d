//! Any bytes as a frame, to either side: a frame or none, and what was heard can be said again.

#![no_main]

use std::borrow::Cow;

use bulkhead::lane::worker::protocol::{
    self, BadFrame, Failure, FromWorker, Load, Region, Task, Text, ToWorker, decode, encode,
};
use bulkhead_plugin::abi::{CallFailure, FailureKind};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

/// What a plugin and a caller put into frames.
#[derive(Arbitrary, Debug)]
struct Words<'a> {
    number: u64,
    kind: u32,
    text: &'a str,
    other: &'a str,
    times: u16,
    backtrace: Vec<u64>,
    region: (u32, usize, usize),
}

fuzz_target!(|bytes: &[u8]| {
    any(bytes);
    // The first bytes of a frame are no work for a fuzzer.
    let mut framed = Vec::new();
    let _ = encode(1, &(), &mut framed);
    framed.extend_from_slice(bytes);
    any(&framed);
    let _ = protocol::read_json::<Load>(bytes);
    let _ = protocol::read_json::<bulkhead_plugin::Manifest>(bytes);
    if let Ok(words) = Words::arbitrary(&mut Unstructured::new(bytes)) {
        a_failure_of_any_size_fits(&words);
        a_task_is_heard_as_it_was_said(&words);
    }
});

fn any(frame: &[u8]) {
    if let Ok((call, message)) = decode::<FromWorker<'_>>(frame) {
        let again = said_again(call, &message, frame);
        let (_, heard) = decode::<FromWorker<'_>>(&again).unwrap();
        assert_eq!(heard.name(), message.name());
    }
    if let Ok((call, message)) = decode::<ToWorker<'_>>(frame) {
        let again = said_again(call, &message, frame);
        assert_eq!(decode::<ToWorker<'_>>(&again), Ok((call, message)));
    }
}

/// Bytes are compared and not messages: not every number is equal to itself.
fn said_again<M: serde::Serialize>(call: u64, message: &M, frame: &[u8]) -> Vec<u8> {
    let mut again = Vec::new();
    encode(call, message, &mut again).unwrap();
    assert!(again.len() <= frame.len());
    assert_eq!(again.len() == frame.len(), again == frame);
    again
}

fn a_failure_of_any_size_fits(words: &Words<'_>) {
    let failure = CallFailure {
        kind: FailureKind(words.kind),
        message: words.text.repeat(words.times.into()),
        details: words.other.repeat(words.times.into()),
        location: words.other.to_owned(),
        backtrace: words.backtrace.repeat(usize::from(words.times % 64)),
    };
    let mut frame = Vec::new();
    let said = FromWorker::Failed(Failure::of(&failure));
    encode(words.number, &said, &mut frame).expect("a failure fits a frame");
    assert_eq!(decode::<FromWorker<'_>>(&frame), Ok((words.number, said)));
}

fn a_task_is_heard_as_it_was_said(words: &Words<'_>) {
    let (arena, offset, length) = words.region;
    let region = Region {
        arena,
        offset,
        length,
    };
    let options = if words.kind.is_multiple_of(2) {
        Text::There(region)
    } else {
        Text::Inline(Cow::Borrowed(words.text))
    };
    let said = ToWorker::Call(Task {
        image: region,
        flag: words.kind,
        mime_type: Cow::Borrowed(words.other),
        options,
        remaining: words.number,
    });
    let mut frame = Vec::new();
    match encode(words.number, &said, &mut frame) {
        Ok(()) => assert_eq!(decode::<ToWorker<'_>>(&frame), Ok((words.number, said))),
        Err(error) => assert!(matches!(error, BadFrame::TooLong(_))),
    }
}
