//! A place in a worker for one call at a time: hands the call over, waits for what comes of it, and
//! sees to it that it ends. Whatever a worker says is taken for any bytes.

use std::any::Any;
use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::arena::{Arena, Arenas, Slot};
use super::death;
use super::heard::{Answered, Heard, Running, Speaker};
use super::process::Worker;
use super::protocol::{self, FromWorker, MAX_INLINE, Region, Task, Text, ToWorker};
use crate::call::{Call, Outcome, Payload, Permit, Place};
use crate::error::{CallError, Traceback};
use crate::lane::plugin_log::Source;
use crate::platform::{Channel, MAX_FRAME, ReplyMemory};

/// How long a worker that has said that it dies may take to write down where.
const REPORT_WITHIN: Duration = Duration::from_millis(50);

/// One place for a call.
#[derive(Debug)]
pub(super) struct Seat {
    worker: Arc<Worker>,
    index: usize,
    channel: Channel,
    replies: Arc<ReplyMemory>,
    known: Vec<(u32, Weak<Arena>)>,
    /// When it was last in use.
    pub(super) used: Instant,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

/// What came of a call.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) seat: Fate,
}

/// What is to become of the seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It takes the next call.
    Stays,
    /// Its worker is to be replaced, but is sound.
    Replace,
    /// Its worker is dead or dying; of the plugin's doing, or at its deadline.
    Dead {
        /// Whether it was this call's code that has ended it.
        crashed: bool,
    },
}

/// A call's bytes, where the worker finds them.
pub(super) struct Laid {
    image: Where,
    options: Option<Slot>,
}

enum Where {
    /// They were there already.
    Payload,
    Copied(Slot),
}

impl Laid {
    /// Lays a call out in memory that workers can read: without a copy where it is there already.
    pub(super) fn out(call: &Call, arenas: &Arenas) -> io::Result<Self> {
        let image = match own_slot(call) {
            Some(slot) if arenas.owns(slot) => Where::Payload,
            _ => Where::Copied(copy(arenas, call.payload.as_slice())?),
        };
        let options = call.options_json();
        let options = match options.len() {
            0..=MAX_INLINE => None,
            _ => Some(copy(arenas, options.as_bytes())?),
        };
        Ok(Self { image, options })
    }

    fn image<'a>(&'a self, call: &'a Call) -> &'a Slot {
        match &self.image {
            Where::Copied(slot) => slot,
            Where::Payload => own_slot(call).expect("it was found to be one"),
        }
    }
}

fn own_slot(call: &Call) -> Option<&Slot> {
    match &call.payload {
        Payload::Heap(_) => None,
        Payload::Slot(kept) => {
            let any: &dyn Any = &**kept;
            any.downcast_ref()
        }
    }
}

fn copy(arenas: &Arenas, bytes: &[u8]) -> io::Result<Slot> {
    let mut slot = arenas.take(bytes.len())?;
    slot.bytes_mut().copy_from_slice(bytes);
    Ok(slot)
}

/// A number that no call had before.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How far a call has come.
enum Stage {
    Running,
    /// It was told to stop; this is what it ends with.
    Stopping(CallError),
}

impl Seat {
    pub(super) fn new(
        worker: Arc<Worker>,
        index: usize,
        channel: Channel,
        replies: Arc<ReplyMemory>,
    ) -> Self {
        Self {
            worker,
            index,
            channel,
            replies,
            known: Vec::new(),
            used: Instant::now(),
            incoming: vec![0; MAX_FRAME],
            outgoing: Vec::with_capacity(1024),
        }
    }

    pub(super) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// Whether it can take a call: its worker lives, and has nothing left to say of the last one.
    pub(super) fn is_sound(&mut self) -> bool {
        let silent = self.channel.try_recv(&mut self.incoming);
        let silent = silent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        silent && self.worker.is_usable()
    }

    /// Carries a call out; nothing where the worker was gone before it had the call, so that another
    /// may have it. When the future is dropped, the worker must be ended.
    pub(super) async fn run(
        &mut self,
        call: &Arc<Call>,
        laid: &Laid,
        permit: &Permit,
        grace: Duration,
    ) -> Option<Ended> {
        let mut running = Running::new(next_number(), call);
        self.hand_over(&running, laid, permit).await.ok()?;
        self.worker.printed.begin(self.index, Source::of(call));
        let ended = self.see_through(&mut running, laid, permit, grace).await;
        self.worker.printed.end(self.index);
        self.used = Instant::now();
        ended
    }

    async fn hand_over(
        &mut self,
        running: &Running<'_>,
        laid: &Laid,
        permit: &Permit,
    ) -> io::Result<()> {
        let (call, image) = (running.call, laid.image(running.call));
        self.introduce(image.arena()).await?;
        if let Some(options) = &laid.options {
            self.introduce(options.arena()).await?;
        }
        let options = match &laid.options {
            Some(slot) => Text::There(slot.region()),
            None => Text::Inline(Cow::Borrowed(call.options_json())),
        };
        let length = call.payload.as_slice().len();
        let task = Task {
            image: Region {
                length,
                ..image.region()
            },
            flag: image.flag(),
            mime_type: Cow::Borrowed(&call.mime_type),
            options,
            remaining: u64::try_from(permit.remaining().as_nanos()).unwrap_or(u64::MAX),
        };
        self.say(running.number, &ToWorker::Call(task)).await
    }

    /// Whether the worker knows an arena that is gone, and so keeps its memory.
    pub(super) fn has_to_forget(&self) -> bool {
        self.known.iter().any(|it| it.1.strong_count() == 0)
    }

    /// Lets the worker forget the arenas that are gone. When it fails or is dropped, the seat is of no
    /// use any more.
    pub(super) async fn forget(&mut self) -> io::Result<()> {
        while let Some(gone) = self.known.iter().position(|it| it.1.strong_count() == 0) {
            let (id, _) = self.known.swap_remove(gone);
            self.say(protocol::NO_CALL, &ToWorker::Forget { id })
                .await?;
        }
        Ok(())
    }

    /// Makes an arena known to the worker, and lets it forget those that are gone.
    async fn introduce(&mut self, arena: &Arc<Arena>) -> io::Result<()> {
        self.forget().await?;
        let id = arena.id();
        if self.known.iter().any(|known| known.0 == id) {
            return Ok(());
        }
        let frame = &mut self.outgoing;
        protocol::encode(protocol::NO_CALL, &ToWorker::Arena { id }, frame)
            .map_err(io::Error::other)?;
        self.channel.send(frame, &[arena.handle()?]).await?;
        self.known.push((id, Arc::downgrade(arena)));
        Ok(())
    }

    async fn say(&mut self, number: u64, message: &ToWorker<'_>) -> io::Result<()> {
        protocol::encode(number, message, &mut self.outgoing).map_err(io::Error::other)?;
        self.channel.send(&self.outgoing, &[]).await
    }

    /// Waits for the answer, for a death, or for the time to end the code.
    async fn see_through(
        &mut self,
        running: &mut Running<'_>,
        laid: &Laid,
        permit: &Permit,
        grace: Duration,
    ) -> Option<Ended> {
        let mut stage = Stage::Running;
        let mut end = std::pin::pin!(sleep_until(permit.deadline.into()));
        loop {
            let is_running = matches!(stage, Stage::Running);
            // Not in order: whoever sends without end must not outrun his deadline.
            let heard = tokio::select! {
                heard = self.channel.recv(&mut self.incoming) => heard,
                // What it has said before it died is still there, and counts.
                _ = self.worker.process().ended() => self.channel.try_recv(&mut self.incoming),
                () = running.call.until_cancelled(), if is_running => {
                    stage = Stage::Stopping(CallError::Cancelled);
                    end.as_mut().reset((Instant::now() + grace).into());
                    laid.image(running.call).cancelled().store(true, Ordering::Release);
                    continue;
                }
                () = end.as_mut() => match stage {
                    Stage::Running => {
                        stage = Stage::Stopping(CallError::timed_out(permit.limit));
                        end.as_mut().reset((permit.deadline + grace).into());
                        laid.image(running.call).cancelled().store(true, Ordering::Release);
                        continue;
                    }
                    Stage::Stopping(error) => return Some(self.cut_off(running.call, error)),
                },
            };
            let length = match heard {
                Ok(Some(length)) => length,
                Ok(None) => return Some(self.died(running.call, stage).await),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Some(self.died(running.call, stage).await);
                }
                // It died with the call unread, which it never began.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.worker.finish_off();
                    return None;
                }
                Err(error) => return Some(self.broke_protocol(running.call, &error.to_string())),
            };
            match self.hear(length, running) {
                Heard::Nothing => {}
                Heard::Answer(answer) => return Some(self.conclude(answer, stage)),
                Heard::Dying => {
                    self.await_report().await;
                    return Some(self.died(running.call, stage).await);
                }
                Heard::Nonsense(problem) => {
                    return Some(self.broke_protocol(running.call, &problem));
                }
            }
        }
    }

    fn hear(&self, length: usize, running: &mut Running<'_>) -> Heard {
        let frame = self.incoming.get(..length).unwrap_or_default();
        let speaker = Speaker {
            replies: &self.replies,
            symbols: &self.worker.symbols,
            memory: self.worker.memory,
        };
        running.hear(frame, &speaker)
    }

    /// Code that was told to stop may answer all the same: it is too late for its answer, but not for
    /// its worker.
    fn conclude(&self, answered: Answered, stage: Stage) -> Ended {
        let Answered { outcome, replace } = answered;
        let outcome = match stage {
            Stage::Running => outcome,
            Stage::Stopping(error) => Err(error),
        };
        let seat = if replace { Fate::Replace } else { Fate::Stays };
        Ended { outcome, seat }
    }

    /// Ends code that does not end by itself.
    fn cut_off(&self, call: &Arc<Call>, error: CallError) -> Ended {
        self.worker.kill_for(self.index);
        self.worker.bury(Arc::clone(call));
        Ended {
            outcome: Err(error),
            seat: Fate::Dead { crashed: false },
        }
    }

    fn broke_protocol(&self, call: &Arc<Call>, problem: &str) -> Ended {
        let problem = problem.to_owned();
        let lines = self.worker.printed.last_lines().join("\n");
        let traceback = Traceback::from(lines);
        let error = CallError::Protocol { problem, traceback };
        Ended {
            seat: Fate::Dead { crashed: true },
            ..self.cut_off(call, error)
        }
    }

    /// The report comes in two parts, the second of which may never come.
    async fn await_report(&mut self) {
        let second = async {
            while let Ok(Some(length)) = self.channel.recv(&mut self.incoming).await {
                let frame = self.incoming.get(..length).unwrap_or_default();
                if let Ok((_, FromWorker::Crash)) = protocol::decode(frame) {
                    return;
                }
            }
        };
        tokio::select! {
            () = second => {}
            _ = self.worker.process().ended() => {}
            () = tokio::time::sleep(REPORT_WITHIN) => {}
        }
    }

    /// The worker is dead, dying, or has closed its channel.
    async fn died(&self, call: &Arc<Call>, stage: Stage) -> Ended {
        let worker = &self.worker;
        let report = worker.report.crash();
        // With a report there is nothing to wait for: a large process takes long to be gone.
        let exit = match report {
            Some(_) => worker.process().exit(),
            None => tokio::time::timeout(REPORT_WITHIN, worker.process().ended())
                .await
                .ok(),
        };
        if report.is_none() && exit.is_none() {
            return self.broke_protocol(call, "it closed its channel and runs on");
        }
        let for_another = worker.killed_for().is_some_and(|seat| seat != self.index);
        let told = report.as_ref().and_then(|report| report.seat);
        let of_another = told.is_some_and(|seat| worker.is_sibling(seat, self.index));
        worker.finish_off();
        worker.bury(Arc::clone(call));
        let crashed = !for_another && !of_another;
        let outcome = match stage {
            Stage::Stopping(error) => Err(error),
            Stage::Running => {
                worker.printed.has_arrived().await;
                let mut death = death::account(exit, report, &worker.printed, worker.memory);
                if worker.was_overweight() {
                    death.blame_memory(worker.memory);
                }
                Err(death.into_error(&worker.symbols, !crashed))
            }
        };
        let is_crash = matches!(&outcome, Err(error) if is_crash(error));
        let crashed = crashed && is_crash && worker.is_first_to_blame();
        Ended {
            outcome,
            seat: Fate::Dead { crashed },
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.seat_left();
    }
}

fn is_crash(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Crashed { .. } | CallError::Exited { .. } | CallError::OutOfMemory { .. }
    )
}
