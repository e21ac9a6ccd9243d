//! The worker's side of a seat: one thread that answers one call at a time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bulkhead_plugin::Level;
use bulkhead_plugin::abi::{CallFailure, Reply, Run, Sink};

use super::checks::Checks;
use crate::lane::instances::Instances;
use crate::lane::worker::protocol::{
    self, Answer, Failure, FromWorker, Part, Region, Task, Text, ToWorker, cut,
};
use crate::platform::{
    self, Gauge, Handle, MAX_FRAME, MappedReplies, MappedRequests, WorkerChannel,
};

/// How often at most it looks how much memory is in use: that costs as much as a short call.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The plugin that all threads serve.
pub(super) struct Served {
    pub(super) instances: Instances,
    pub(super) checks: Checks,
}

/// What a call gives in place of an answer.
enum Instead {
    Failure(CallFailure),
    Breach(FromWorker<'static>),
}

/// One thread's side.
pub(super) struct WorkerSeat {
    index: usize,
    channel: WorkerChannel,
    replies: MappedReplies,
    served: Arc<Option<Served>>,
    gauge: Arc<Gauge>,
    arenas: HashMap<u32, MappedRequests>,
    /// The bytes that were in use when it last looked.
    memory: u64,
    looked: Instant,
}

impl WorkerSeat {
    pub(super) fn new(
        index: usize,
        channel: WorkerChannel,
        replies: MappedReplies,
        served: Arc<Option<Served>>,
        gauge: Arc<Gauge>,
    ) -> Self {
        Self {
            index,
            channel,
            replies,
            served,
            gauge,
            arenas: HashMap::new(),
            memory: 0,
            looked: Instant::now(),
        }
    }

    /// Answers until the host closes its end.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        let _guard = platform::guard_thread(u32::try_from(self.index).ok());
        let mut buffer = vec![0; MAX_FRAME];
        let mut frame = Vec::with_capacity(4 << 10);
        while let Some((length, handles)) = self.channel.recv(&mut buffer)? {
            let heard = buffer.get(..length).unwrap_or_default();
            match protocol::decode(heard).map_err(io::Error::other)? {
                (_, ToWorker::Arena { id }) => self.learn(id, handles)?,
                (_, ToWorker::Forget { id }) => drop(self.arenas.remove(&id)),
                (number, ToWorker::Call(task)) => {
                    self.answer(number, &task, &mut frame)?;
                    self.channel.send(&frame)?;
                    // After the answer, so that nobody waits for the look.
                    self.look();
                }
                (_, ToWorker::Load { .. }) => return Err(io::Error::other("it is loaded already")),
            }
        }
        self.channel.linger();
        Ok(())
    }

    fn look(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.looked) >= LOOK_EVERY {
            (self.looked, self.memory) = (now, self.gauge.read());
        }
    }

    fn learn(&mut self, id: u32, handles: Vec<Handle>) -> io::Result<()> {
        for handle in handles {
            self.arenas.insert(id, MappedRequests::map(handle)?);
        }
        Ok(())
    }

    /// Runs a call, and puts the frame with what came of it into `frame`.
    fn answer(&mut self, number: u64, task: &Task<'_>, frame: &mut Vec<u8>) -> io::Result<()> {
        let outcome = self.run(number, task)?;
        let reply = match &outcome {
            Ok(reply) => reply,
            Err(Instead::Failure(failure)) => {
                return encode(number, &FromWorker::Failed(Failure::of(failure)), frame);
            }
            Err(Instead::Breach(breach)) => return encode(number, breach, frame),
        };
        let json = reply.json.as_ref();
        let parts = reply.attachments.iter().map(|it| it.data.as_ref());
        let total: usize = parts.clone().map(<[u8]>::len).sum::<usize>() + json.len();
        if total > self.replies.size() {
            return encode(number, &FromWorker::TooLarge(total as u64), frame);
        }
        if let Some(Err(breach)) = self.served().map(|served| served.checks.output(json)) {
            return encode(number, &breach, frame);
        }
        let mut offset = 0;
        for part in [json].into_iter().chain(parts) {
            self.replies.write(offset, part);
            offset += part.len();
        }
        let answer = FromWorker::Done(Answer {
            json: json.len(),
            attachments: reply.attachments.iter().map(part).collect(),
            memory: self.memory,
        });
        encode(number, &answer, frame).or_else(|_| {
            // Only names are in the frame: there are too many of them.
            let names = format!("{} attachments", reply.attachments.len());
            let failure = CallFailure {
                kind: bulkhead_plugin::abi::FailureKind::UNSERIALIZABLE,
                message: format!("the plugin answered with {names}, which are too many"),
                details: String::new(),
                location: String::new(),
                backtrace: Vec::new(),
            };
            encode(number, &FromWorker::Failed(Failure::of(&failure)), frame)
        })
    }

    fn served(&self) -> Option<&Served> {
        self.served.as_ref().as_ref()
    }

    fn run(&self, number: u64, task: &Task<'_>) -> io::Result<Result<Reply, Instead>> {
        let none = || io::Error::other("there is no instance");
        let served = self.served().ok_or_else(none)?;
        let unknown = || io::Error::other("the call lies in memory that is not known");
        let image = self.bytes(task.image).ok_or_else(unknown)?;
        let arena = self.arenas.get(&task.image.arena).ok_or_else(unknown)?;
        let cancelled = arena.flag(task.flag as usize).ok_or_else(unknown)?;
        let options = match &task.options {
            Text::Inline(text) => Cow::Borrowed(&**text),
            Text::There(region) => {
                let bytes = self.bytes(*region).ok_or_else(unknown)?;
                Cow::Borrowed(str::from_utf8(bytes).map_err(io::Error::other)?)
            }
        };
        if let Err(breach) = served.checks.options(&options) {
            return Ok(Err(Instead::Breach(breach)));
        }
        let sink = SeatSink {
            channel: &self.channel,
            number,
            due: Instant::now().checked_add(Duration::from_nanos(task.remaining)),
            told: AtomicU32::new(0),
        };
        let run = Run {
            image,
            mime_type: &task.mime_type,
            options: &options,
            cancelled,
            sink: &sink,
        };
        Ok(served.instances.run(&run).map_err(Instead::Failure))
    }

    fn bytes(&self, region: Region) -> Option<&[u8]> {
        let arena = self.arenas.get(&region.arena)?;
        arena.bytes(region.offset, region.length)
    }
}

fn part(attachment: &bulkhead_plugin::abi::ReplyAttachment) -> Part<'_> {
    Part {
        name: cut(&attachment.name).into(),
        mime_type: cut(&attachment.mime_type).into(),
        length: attachment.data.as_ref().len(),
    }
}

fn encode(number: u64, message: &FromWorker<'_>, frame: &mut Vec<u8>) -> io::Result<()> {
    protocol::encode(number, message, frame).map_err(io::Error::other)
}

/// The host's side of a running call, by way of the channel.
struct SeatSink<'a> {
    channel: &'a WorkerChannel,
    number: u64,
    due: Option<Instant>,
    /// The thousandths that were told last.
    told: AtomicU32,
}

impl SeatSink<'_> {
    /// A host that hears nothing any more has other ways to notice.
    fn say(&self, message: &FromWorker<'_>) {
        let mut frame = Vec::new();
        if encode(self.number, message, &mut frame).is_ok() {
            let _ = self.channel.send(&frame);
        }
    }
}

impl Sink for SeatSink<'_> {
    fn log(&self, level: Level, message: &str) {
        let level = level.number();
        let text = cut(message).into();
        self.say(&FromWorker::Log { level, text });
    }

    fn progress(&self, fraction: f32) {
        // Whoever tells it for every pixel would fill the channel.
        let thousandths = (fraction * 1000.0) as u32;
        if self.told.swap(thousandths, Ordering::Relaxed) != thousandths {
            self.say(&FromWorker::Progress(fraction));
        }
    }

    fn remaining(&self) -> Option<Duration> {
        let due = self.due?;
        Some(due.saturating_duration_since(Instant::now()))
    }
}
