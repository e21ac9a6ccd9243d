//! Both sides of the boundary, without a library between them.

use std::panic::catch_unwind;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::context::Level;
use crate::{Context, Error, Plugin};

/// What a value does when it is dropped.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
struct Bomb {
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.armed, "the bomb went off");
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct Options {
    options: Bomb,
    output: Bomb,
    asks: bool,
    threads: usize,
}

struct Subject(#[expect(dead_code, reason = "for its drop")] Bomb);

impl Plugin for Subject {
    type Settings = Bomb;
    type Options = Options;
    type Output = std::collections::BTreeMap<String, Bomb>;

    fn new(settings: Bomb) -> Result<Self, Error> {
        Ok(Self(settings))
    }

    fn run(
        &self,
        _: &crate::Request<'_>,
        options: Options,
        context: &Context<'_>,
    ) -> Result<Self::Output, Error> {
        if options.asks {
            context.log(Level::Info, "a line");
            context.progress(0.5);
            assert_eq!(context.remaining(), None);
        }
        std::thread::scope(|scope| {
            for n in 0..options.threads {
                scope.spawn(move || context.attach(&n.to_string(), "text/plain", vec![0; n]));
            }
        });
        let armed = options.output.armed;
        Ok([("bomb".to_owned(), Bomb { armed })].into())
    }
}

struct Exported;

impl Export for Exported {
    type Plugin = Subject;
    type Sharing = Shared;
    const DECLARATION: Declaration = Declaration {
        name: "subject",
        version: "1.2.3",
        accepts: &["image/png", "image/x-*"],
        summary: "Über",
    };
    const PANIC_UNWINDS: bool = true;
}

struct Quiet;

impl Sink for Quiet {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: f32) {}
    fn remaining(&self) -> Option<Duration> {
        None
    }
}

/// A host whose own code is broken.
struct Panics;

impl Sink for Panics {
    fn log(&self, _: Level, _: &str) {
        panic!("the host's log");
    }
    fn progress(&self, _: f32) {
        panic!("the host's progress");
    }
    fn remaining(&self) -> Option<Duration> {
        panic!("the host's clock");
    }
}

fn create(settings: &str) -> Instance {
    Module::of::<Exported>().create(settings).unwrap()
}

fn run(options: &str, sink: &dyn Sink) -> Result<Reply, CallFailure> {
    create(r#"{"armed": false}"#).run(&Run {
        image: b"GIF89a",
        mime_type: "image/gif",
        options,
        cancelled: &AtomicBool::new(false),
        sink,
    })
}

#[track_caller]
fn check_panic(options: &str) {
    let failure = run(options, &Quiet).unwrap_err();
    assert_eq!(failure.kind, FailureKind::PANIC, "{failure:?}");
    assert_eq!(failure.message, "the bomb went off");
    assert!(failure.location.contains("tests.rs:"), "{failure:?}");
}

#[test]
fn options_and_output_that_panic_in_drop_are_a_panic_of_the_call() {
    check_panic(r#"{"options": {"armed": true}}"#);
    check_panic(r#"{"output": {"armed": true}}"#);
}

#[test]
fn an_instance_that_panics_in_drop_is_gone_all_the_same() {
    drop(create(r#"{"armed": true}"#));
    let unwinds = catch_unwind(|| {
        let _instance = create(r#"{"armed": true}"#);
        panic!("the host's own");
    });
    let payload = unwinds.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the host's own"));
}

#[test]
fn a_host_that_panics_while_a_plugin_runs_harms_no_call() {
    let reply = run(r#"{"asks": true}"#, &Panics).unwrap();
    assert_eq!(reply.json.as_ref(), br#"{"bomb":{"armed":false}}"#);
}

#[test]
fn attachments_may_come_from_any_thread_of_the_call() {
    let reply = run(r#"{"threads": 8}"#, &Quiet).unwrap();
    let mut sizes: Vec<_> = reply
        .attachments
        .iter()
        .map(|attachment| attachment.data.as_ref().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn an_instance_is_shared_by_threads_only_if_its_plugin_says_so() {
    struct Alone;
    impl Export for Alone {
        type Plugin = Subject;
        type Sharing = Exclusive;
        const DECLARATION: Declaration = Exported::DECLARATION;
        const PANIC_UNWINDS: bool = true;
    }
    assert!(create("{\"armed\": false}").share().is_ok());
    let alone = Module::of::<Alone>().create(r#"{"armed": false}"#).unwrap();
    assert!(alone.share().is_err());
}

#[test]
fn a_note_says_what_was_declared() {
    const LENGTH: usize = note_len::<Exported>();
    let fields = "name=subject\0version=1.2.3\0abi=0\0thread_safe=true\0\
                  accepts=image/png\0accepts=image/x-*\0summary=Über\0";
    // The head of an ELF note: 9 bytes of name, the length of the text, type 1, the name.
    let length = fields.len() as u32;
    let head = [9_u32, length, 1].map(u32::to_ne_bytes).concat();
    let expected = [&head[..], b"Bulkhead\0\0\0\0", fields.as_bytes()].concat();
    let note = Note::<LENGTH>::of::<Exported>();
    assert_eq!(note.to_bytes(), expected);
}
