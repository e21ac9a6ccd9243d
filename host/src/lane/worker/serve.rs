//! The worker's own side: this binary run again, with a plugin in it. Everything here may be undone by
//! the plugin's code at any time; the host believes none of it.

mod checks;
mod seat;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use super::protocol::{self, Aim, BUILD, FromWorker, Load, NO_CALL, Readiness, ToWorker};
use crate::lane::instances::Instances;
use crate::loader::{self, Rejection, Unchecked};
use crate::platform::{
    self, Handle, InForce, MAX_FRAME, MappedReplies, MappedRequests, PAGE, WorkerChannel,
};
use checks::Checks;
use seat::{Served, WorkerSeat};

/// Decoders recurse; the main thread of a program has as much.
const STACK_BYTES: usize = 8 << 20;

/// Runs this process as a worker, if it was started as one. To be called before anything else: a
/// worker has no runtime, no log and one thread.
pub fn enter() -> Option<ExitCode> {
    platform::is_worker().then(|| match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead worker: {error}; it is started by the host, not by hand");
            ExitCode::FAILURE
        }
    })
}

fn run() -> io::Result<()> {
    let channel = platform::adopt()?;
    say(
        &channel,
        &FromWorker::Hello {
            build: BUILD.into(),
        },
    )?;
    let mut buffer = vec![0; MAX_FRAME];
    // A spare worker that is never needed hears nothing.
    let Some((length, handles)) = channel.recv(&mut buffer)? else {
        channel.linger();
        return Ok(());
    };
    let frame = buffer.get(..length).unwrap_or_default();
    match protocol::decode(frame).map_err(io::Error::other)? {
        (NO_CALL, ToWorker::Load { length }) => serve(channel, length, handles),
        _ => Err(io::Error::other("the host's first word was not a plugin")),
    }
}

/// What came with the order to load.
struct Delivery {
    load: Load,
    library: Handle,
    replies: Vec<MappedReplies>,
    channels: Vec<WorkerChannel>,
}

impl Delivery {
    fn unpack(first: WorkerChannel, length: usize, handles: Vec<Handle>) -> io::Result<Self> {
        let mut handles = handles.into_iter();
        let mut next = || {
            let missing = || io::Error::other("a handle is missing");
            handles.next().ok_or_else(missing)
        };
        let memory = MappedRequests::map(next()?)?;
        let load = memory.bytes(PAGE, length).unwrap_or_default();
        let load: Load = protocol::read_json(load).map_err(io::Error::other)?;
        let library = next()?;
        let replies = (0..load.seats).map(|_| MappedReplies::map(next()?));
        let replies = replies.collect::<io::Result<_>>()?;
        let mut channels = vec![first];
        for _ in 1..load.seats {
            channels.push(WorkerChannel::take(next()?)?);
        }
        Ok(Self {
            load,
            library,
            replies,
            channels,
        })
    }

    fn report_crashes(&self) -> io::Result<()> {
        let mut frame = Vec::new();
        protocol::encode(NO_CALL, &FromWorker::Crash, &mut frame).map_err(io::Error::other)?;
        let channels: Vec<_> = self.channels.iter().collect();
        platform::report_crashes(&self.replies[0], &channels, frame)
    }
}

fn serve(channel: WorkerChannel, length: usize, handles: Vec<Handle>) -> io::Result<()> {
    let mut delivery = Delivery::unpack(channel, length, handles)?;
    // Before the confinement, which closes the way to what it needs.
    delivery.report_crashes()?;
    let guard = platform::guard_thread(Some(0));
    let gauge = platform::Gauge::open();
    let file = delivery.library.open()?;
    let in_force = platform::confine(&delivery.load.confinement, platform::lend(&file));
    if delivery.load.aim == Aim::Prove {
        return prove(&mut delivery, in_force);
    }
    let opened = load(&mut delivery, in_force);
    let served = match opened {
        Ok(served) => Arc::new(served),
        Err(reason) => {
            return say(
                &delivery.channels[0],
                &FromWorker::Unfit {
                    reason: reason.into(),
                },
            );
        }
    };
    drop(guard);
    let gauge = Arc::new(gauge);
    let Delivery {
        replies, channels, ..
    } = delivery;
    let seats = channels.into_iter().zip(replies).enumerate();
    let seats = seats.map(|(index, (channel, replies))| {
        let served = Arc::clone(&served);
        let mut seat = WorkerSeat::new(index, channel, replies, served, Arc::clone(&gauge));
        let builder = thread::Builder::new()
            .name("call".to_owned())
            .stack_size(STACK_BYTES);
        builder.spawn(move || seat.serve())
    });
    for seat in seats.collect::<io::Result<Vec<_>>>()? {
        // What ended it was told to the host, or is of no use to it.
        let _ = seat.join();
    }
    Ok(())
}

/// Opens the library and makes the first instance, then says so.
fn load(delivery: &mut Delivery, in_force: InForce) -> Result<Option<Served>, String> {
    let Unchecked {
        module,
        manifest,
        base,
    } = loader::open_at(&delivery.library.path()).map_err(|rejection| rejection.explain())?;
    let load = &delivery.load;
    let served = match load.aim {
        Aim::Describe | Aim::Prove => None,
        Aim::Serve => {
            let started = Instances::start(module, load.settings.clone(), load.seats);
            let failed = |words: String| Rejection::create_failed(&words).explain();
            let instances = started.map_err(|failure| failed(failure.message))?;
            let checks = Checks::of(&manifest, load.check_output)?;
            Some(Served { instances, checks })
        }
    };
    if !delivery.replies[0].write(0, manifest.as_bytes()) {
        let size = delivery.replies[0].size();
        return Err(format!(
            "manifest_invalid: its manifest has {} bytes, over the limit of {size}",
            manifest.len()
        ));
    }
    let ready = FromWorker::Ready(Readiness {
        in_force,
        length: manifest.len(),
        panic_unwinds: module.build().panic_unwinds,
        base,
    });
    say(&delivery.channels[0], &ready).map_err(|error| error.to_string())?;
    Ok(served)
}

fn prove(delivery: &mut Delivery, in_force: InForce) -> io::Result<()> {
    let host = i32::try_from(delivery.load.host).map_err(io::Error::other)?;
    let attempts = platform::prove(&delivery.load.confinement, host);
    let text = serde_json::to_vec(&attempts)?;
    if !delivery.replies[0].write(0, &text) {
        return Err(io::Error::other("the attempts do not fit"));
    }
    let ready = FromWorker::Ready(Readiness {
        in_force,
        length: text.len(),
        panic_unwinds: true,
        base: None,
    });
    say(&delivery.channels[0], &ready)
}

fn say(channel: &WorkerChannel, message: &FromWorker<'_>) -> io::Result<()> {
    let mut frame = Vec::new();
    protocol::encode(NO_CALL, message, &mut frame).map_err(io::Error::other)?;
    channel.send(&frame)
}
