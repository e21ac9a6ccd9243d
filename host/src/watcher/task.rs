//! Looks at the folder whenever there is reason to: an event, a file that may count now, a wish, or because it is time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;
use tracing::{info, warn};

use super::events::Events;
use super::look::{self, State};
use super::settle::{Patience, Settling};
use super::{FolderProblem, FolderView, IsCandidate, Message, WatchSettings, seen};

/// How long a file must stand still where the system does not tell who writes to it.
const UNASKED: Duration = Duration::from_secs(2);

/// How long a file must be gone to be removed: install, tar and ld remove one before they make the next.
const REMOVAL: Duration = Duration::from_secs(1);

/// The shortest time from one look to the next: events come in bursts. Much of it comes before each settling, because
/// the look at the first event of a change rarely sees the last.
const REST: Duration = Duration::from_millis(5);

/// After a look that took long, the rest is as many times as long: folders may be large, and disks slow.
const REST_PART: u32 = 4;

/// How many settle times a rescan waits for files that settle, beside [`REMOVAL`].
const RESCAN_SETTLES: u32 = 4;

/// Watches a folder while it runs.
#[derive(Debug)]
pub struct WatchTask {
    eye: Eye,
    inbox: mpsc::Receiver<Message>,
    publish: watch::Sender<Arc<FolderView>>,
    bell: Arc<Notify>,
    settings: WatchSettings,
}

/// What looks, and remembers what it saw. Blocks on the disk.
#[derive(Debug)]
struct Eye {
    folder: PathBuf,
    is_candidate: IsCandidate,
    events: Events,
    settling: Settling<State>,
    problem: Option<FolderProblem>,
}

/// Who waits for a rescan.
struct Waiting {
    done: oneshot::Sender<()>,
    until: Instant,
}

/// A look as the task sees it.
struct Looked {
    began: Instant,
    ended: Instant,
}

impl WatchTask {
    pub(super) fn new(
        folder: PathBuf,
        is_candidate: IsCandidate,
        settings: WatchSettings,
        inbox: mpsc::Receiver<Message>,
        publish: watch::Sender<Arc<FolderView>>,
    ) -> Self {
        let bell = Arc::new(Notify::new());
        let events = Events::new(&folder, is_candidate, Arc::clone(&bell));
        let patience = Patience {
            settle: settings.settle,
            unasked: UNASKED,
            removal: REMOVAL,
        };
        let first = Arc::clone(&publish.borrow());
        let files = first.files.iter();
        let files = files.map(|(name, seen)| (name.clone(), seen.fingerprint));
        let eye = Eye {
            folder,
            is_candidate,
            events,
            settling: Settling::new(patience, files.collect()),
            problem: first.problem.clone(),
        };
        Self {
            eye,
            inbox,
            publish,
            bell,
            settings,
        }
    }

    /// Watches until the last handle is dropped. May be dropped at any point itself.
    pub async fn run(self) {
        let Self {
            mut eye,
            mut inbox,
            publish,
            bell,
            settings,
        } = self;
        let mut told = Told::of(&publish.borrow());
        let mut waiting = Vec::new();
        loop {
            let Some((looked, after)) = look_aside(eye).await else {
                return;
            };
            eye = after;
            told.tell(&eye, settings.rescan);
            eye.publish(&publish);
            let next = eye.settling.next();
            answer(&mut waiting, next.is_none(), looked.ended);
            let times = waiting.iter().map(|it: &Waiting| it.until).chain(next);
            let wake = times.fold(looked.ended + settings.rescan, Instant::min);
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(Message::Rescan(done)) => waiting.push(Waiting::new(done, settings.settle)),
                    None => return,
                },
                () = bell.notified() => {}
                () = sleep_until(wake.into()) => {}
            }
            sleep_until(looked.rested().into()).await;
        }
    }
}

/// A look on a thread that may block; nothing where the runtime ends.
async fn look_aside(mut eye: Eye) -> Option<(Looked, Eye)> {
    let looked = spawn_blocking(move || (eye.look(), eye)).await;
    match looked.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(looked) => Some(looked),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

/// Lets go those whose time is over, or all when there is nothing to wait for.
fn answer(waiting: &mut Vec<Waiting>, is_calm: bool, now: Instant) {
    for waiting in waiting.extract_if(.., |it| is_calm || it.until <= now) {
        // Whoever has left needs no answer.
        let _ = waiting.done.send(());
    }
}

impl Waiting {
    fn new(done: oneshot::Sender<()>, settle: Duration) -> Self {
        let until = Instant::now() + REMOVAL + settle * RESCAN_SETTLES;
        Self { done, until }
    }
}

impl Looked {
    /// From when on there may be another look.
    fn rested(&self) -> Instant {
        self.ended + REST.max((self.ended - self.began) * REST_PART)
    }
}

impl Eye {
    fn look(&mut self) -> Looked {
        let began = Instant::now();
        // First, or what comes between the look and the events would be missed.
        let identity = look::identity(&self.folder);
        self.events.follow(identity);
        match look::files(&self.folder, self.is_candidate) {
            Ok(files) => {
                self.problem = None;
                if identity.is_none() {
                    // It came just now, and nothing announces what comes next.
                    self.events.ring();
                }
                self.settling.observe(files, Instant::now());
                self.settling.remove_gone(began);
                self.ask_for_writers(began);
            }
            Err(problem) => {
                self.problem = Some(problem);
                self.settling.lose_sight();
            }
        }
        let ended = Instant::now();
        Looked { began, ended }
    }

    fn ask_for_writers(&mut self, began: Instant) {
        for (name, state) in self.settling.due(began) {
            let writer = look::writer(&self.folder.join(&name), state);
            self.settling.answer(&name, writer, began);
        }
    }

    /// Tells of the view, where it is another than the last.
    fn publish(&mut self, views: &watch::Sender<Arc<FolderView>>) {
        // The last view is locked while it is borrowed.
        let has_problem_changed = self.problem != views.borrow().problem;
        if !self.settling.take_change() && !has_problem_changed {
            return;
        }
        let settled = self.settling.settled();
        let files = settled.map(|(name, state)| (name.clone(), *state));
        views.send_replace(Arc::new(FolderView {
            problem: self.problem.clone(),
            files: seen(&self.folder, files),
        }));
    }
}

/// What the log has been told: each trouble once when it begins, and once when it ends.
struct Told {
    problem: Option<FolderProblem>,
    is_deaf: bool,
}

impl Told {
    fn of(first: &FolderView) -> Self {
        Self {
            problem: first.problem.clone(),
            is_deaf: false,
        }
    }

    fn tell(&mut self, eye: &Eye, rescan: Duration) {
        let folder = eye.folder.display();
        if self.problem != eye.problem {
            match &eye.problem {
                Some(problem) => warn!("{problem}"),
                None => info!("the folder `{folder}` can be read again"),
            }
            self.problem = eye.problem.clone();
        }
        // A folder that cannot be read has no events either.
        if eye.problem.is_some() {
            return;
        }
        match (eye.events.trouble(), self.is_deaf) {
            (Some(trouble), false) => warn!(
                "changes in the folder `{folder}` are not announced ({trouble}); it is looked at every {}",
                humantime::format_duration(rescan)
            ),
            (None, true) => info!("changes in the folder `{folder}` are announced again"),
            (Some(_), true) | (None, false) => {}
        }
        self.is_deaf = eye.events.trouble().is_some();
    }
}
