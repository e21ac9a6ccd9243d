//! The workers of one plugin: started when calls need them, used again, replaced, and ended when
//! nobody does. Knows no HTTP and no registry.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tracing::{debug, warn};

use super::arena::Arenas;
use super::breaker::{Breaker, Try};
use super::host::Workers;
use super::process::Worker;
use super::seat::{Ended, Fate, Laid, Seat};
use super::start::{Plan, RETRY_AFTER, StartError, Started, start};
use crate::call::{Call, Crew, Exhausted, Outcome, Permit};
use crate::config::PluginConfig;
use crate::error::CallError;

/// How often it is looked for what is not needed any more.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// For how long a worker that the plugin was tried in waits to become its first.
const TRIED_FOR: Duration = Duration::from_secs(1);
/// How long it may take to tell a worker that memory is gone. It has only to be put in its channel.
const FORGET_WITHIN: Duration = Duration::from_secs(1);
/// How often a call may meet a worker that has just gone.
const DELIVERIES: usize = 3;

/// The workers of one plugin.
pub(super) struct Pool {
    host: Arc<Workers>,
    plan: Plan,
    /// The most workers.
    most: usize,
    warm: usize,
    idle: Duration,
    recycle: u64,
    grace: Duration,
    pub(super) arenas: Arenas,
    pub(super) breaker: Breaker,
    /// Held for as long as it takes to push or pop: a call costs a hundred times that.
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    /// Seats that wait; the one that was used last is used next, so that others become idle.
    idle: Vec<Seat>,
    /// Workers that live and take calls.
    workers: Vec<Arc<Worker>>,
    /// The one that the plugin was tried in: the next that is started, if that is soon.
    tried: Option<Started>,
    starting: usize,
    /// No more calls come: who ends its call ends, and nobody takes its place.
    winding_down: bool,
    started: u64,
    killed: u64,
}

impl Pool {
    pub(super) fn new(
        host: Arc<Workers>,
        plan: Plan,
        config: &PluginConfig,
        breaker: Breaker,
    ) -> Arc<Self> {
        let most = config.concurrency.div_ceil(plan.seats);
        let pool = Arc::new(Self {
            arenas: Arenas::new(host.side().clone(), host.idle()),
            host,
            most,
            warm: config.warm.min(most),
            idle: config.idle.duration(),
            recycle: config.recycle,
            grace: config.grace.duration(),
            plan,
            breaker,
            state: Mutex::default(),
            freed: Notify::new(),
        });
        tokio::spawn(tidy(Arc::downgrade(&pool)));
        pool
    }

    /// Holds a worker ready that was started by the same plan.
    pub(super) fn have_first(&self, tried: Started) {
        self.lock().tried = Some(tried);
    }

    /// How long code that was told to stop has.
    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// Carries a call out. May be dropped at any time: the worker is ended then.
    pub(super) async fn run(self: &Arc<Self>, call: Arc<Call>, permit: Permit) -> Outcome {
        let attempt = self.breaker.enter().map_err(CallError::from)?;
        let laid = Laid::out(&call, &self.arenas).map_err(|error| no_capacity(&error))?;
        for _ in 0..DELIVERIES {
            let mut lease = self.acquire(&permit).await?;
            let seat = lease.seat.as_mut().expect("it was just leased");
            let Some(ended) = seat.run(&call, &laid, &permit, self.grace).await else {
                lease.give_up();
                continue;
            };
            let Ended { outcome, seat } = ended;
            self.book(&attempt, &outcome, seat);
            lease.give_back(seat);
            return outcome;
        }
        Err(no_capacity(&"workers end before they get the call"))
    }

    fn book(&self, attempt: &Try<'_>, outcome: &Outcome, seat: Fate) {
        match (seat, outcome) {
            (Fate::Dead { crashed: true }, Err(error)) => {
                self.breaker.crashed(attempt, &error.to_string());
            }
            (Fate::Dead { .. }, _) => {}
            (Fate::Stays | Fate::Replace, _) => self.breaker.survived(attempt),
        }
    }

    /// A seat that waits, or one of a new worker, or the next that is given back.
    async fn acquire(self: &Arc<Self>, permit: &Permit) -> Result<Lease, CallError> {
        // Most calls find a seat that waits.
        if let Some(lease) = self.lease() {
            return Ok(lease);
        }
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no seat that is given back is missed.
            freed.as_mut().enable();
            if let Some(lease) = self.lease() {
                return Ok(lease);
            }
            let due = permit.deadline.into();
            let waited = async {
                if self.claim_start() {
                    return self.launch().await;
                }
                freed.await;
                Ok(())
            };
            match tokio::time::timeout_at(due, waited).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Exhausted::from(error).into()),
                Err(_) => return Err(CallError::timed_out(permit.limit)),
            }
            if permit.remaining().is_zero() {
                return Err(CallError::timed_out(permit.limit));
            }
        }
    }

    fn lease(self: &Arc<Self>) -> Option<Lease> {
        let seat = Some(self.pop()?);
        let pool = Arc::clone(self);
        Some(Lease { pool, seat })
    }

    /// A seat that waits. One that is not sound any more takes its worker along.
    fn pop(&self) -> Option<Seat> {
        loop {
            let mut seat = self.lock().idle.pop()?;
            if seat.is_sound() {
                return Some(seat);
            }
            self.dismiss(seat.worker());
        }
    }

    fn claim_start(&self) -> bool {
        let mut state = self.lock();
        let room = state.workers.len() + state.starting < self.most;
        state.starting += usize::from(room);
        room
    }

    /// Starts a worker that was claimed, in a task: who gives up waiting for it leaves it to others.
    async fn launch(self: &Arc<Self>) -> Result<(), StartError> {
        let (told, hear) = oneshot::channel();
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let started = pool.start().await;
            let _ = told.send(pool.welcome(started));
        });
        let ended = |_| StartError::broken("the host is stopping");
        hear.await.map_err(ended).and_then(|started| started)
    }

    async fn start(&self) -> Result<Started, StartError> {
        let tried = self.lock().tried.take();
        match tried.filter(|tried| tried.worker.is_usable()) {
            Some(tried) => Ok(tried),
            None => start(&self.host, &self.plan).await,
        }
    }

    fn welcome(self: &Arc<Self>, started: Result<Started, StartError>) -> Result<(), StartError> {
        let mut state = self.lock();
        state.starting -= 1;
        let welcomed = started.map(|Started { worker, seats, .. }| {
            state.started += 1;
            state.workers.push(Arc::clone(&worker));
            state.idle.extend(seats);
            self.watch(&worker);
        });
        drop(state);
        self.freed.notify_waiters();
        if let Err(error) = &welcomed {
            if let StartError::Died(death) = error {
                self.breaker.crashed(&Try::NONE, &death.to_string());
            }
            let plugin = self.plan.plugin.as_str();
            warn!(plugin, %error, "a worker could not be started");
        }
        welcomed
    }

    /// Notices the death of a worker that nobody uses. None is started in its place before a call wants it, or the one
    /// that tidies sees that too few are kept warm: who dies by itself would do so again at once.
    fn watch(self: &Arc<Self>, worker: &Arc<Worker>) {
        let (pool, process) = (Arc::downgrade(self), Arc::clone(worker.process()));
        let worker = Arc::downgrade(worker);
        tokio::spawn(async move {
            process.ended().await;
            if let (Some(pool), Some(worker)) = (pool.upgrade(), worker.upgrade())
                && pool.dismiss(&worker)
            {
                debug!(
                    plugin = pool.plan.plugin.as_str(),
                    worker = process.id(),
                    "an idle worker has ended"
                );
            }
        });
    }

    /// Gives a worker no more calls. False if that was so already.
    fn dismiss(&self, worker: &Arc<Worker>) -> bool {
        worker.retire();
        let mut state = self.lock();
        let before = state.workers.len();
        state.workers.retain(|known| !Arc::ptr_eq(known, worker));
        let was_known = state.workers.len() < before;
        let (theirs, others) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition::<Vec<_>, _>(|seat| Arc::ptr_eq(seat.worker(), worker));
        state.idle = others;
        drop(state);
        drop(theirs);
        was_known
    }

    /// Starts a worker in place of one that is gone, unless crashes hold the plugin back.
    fn replenish(self: &Arc<Self>) {
        let ends = self.lock().winding_down;
        if !ends && self.breaker.is_closed() && self.claim_start() {
            let pool = Arc::clone(self);
            tokio::spawn(async move { pool.launch().await });
        }
    }

    fn take_back(self: &Arc<Self>, seat: Seat, fate: Fate) {
        let calls = seat.worker().count_call();
        let goes_on = fate == Fate::Stays && calls < self.recycle && seat.worker().is_usable();
        if goes_on {
            let mut state = self.lock();
            if !state.winding_down {
                state.idle.push(seat);
                drop(state);
                self.freed.notify_one();
                return;
            }
        }
        if matches!(fate, Fate::Dead { .. }) {
            self.lock().killed += 1;
        }
        self.let_go(seat);
    }

    /// Gives a seat up, and its worker with it.
    fn let_go(self: &Arc<Self>, seat: Seat) {
        let worker = Arc::clone(seat.worker());
        drop(seat);
        if self.dismiss(&worker) {
            self.replenish();
        }
        // Whoever waits may start one.
        self.freed.notify_one();
    }

    /// What there is, for the plugin's status.
    pub(super) fn status(&self) -> Value {
        let state = self.lock();
        let pids = state.workers.iter().map(|worker| worker.process().id());
        json!({
            "alive": state.workers.len(),
            "idle": state.idle.len(),
            "starting": state.starting,
            "started": state.started,
            "killed": state.killed,
            "pids": pids.collect::<Vec<_>>(),
        })
    }

    /// The same, counted. Asks the system for the memory of each, without the lock.
    pub(super) fn crew(&self) -> Crew {
        let (mut crew, workers) = {
            let state = self.lock();
            let waits = |worker: &&Arc<Worker>| {
                let theirs = |seat: &&Seat| Arc::ptr_eq(seat.worker(), worker);
                state.idle.iter().filter(theirs).count() == self.plan.seats
            };
            let idle = state.workers.iter().filter(waits).count();
            let crew = Crew {
                busy: state.workers.len() - idle,
                idle,
                starting: state.starting,
                started: state.started,
                killed: state.killed,
                memory: 0,
            };
            (crew, state.workers.clone())
        };
        let memory = workers
            .iter()
            .filter_map(|it| it.process().private_memory());
        crew.memory = memory.sum();
        crew
    }

    /// How many workers live or are about to.
    pub(super) fn alive(&self) -> usize {
        let state = self.lock();
        state.workers.len() + state.starting
    }

    /// Starts workers until there are `count`, or as many as there may be.
    pub(super) async fn warm_up(self: &Arc<Self>, count: usize) -> Result<(), Exhausted> {
        while self.alive() < count.min(self.most) && self.claim_start() {
            self.launch().await.map_err(Exhausted::from)?;
        }
        Ok(())
    }

    /// Ends the workers that wait for calls; the others end with theirs.
    pub(super) fn wind_down(&self) {
        let tried = self.lock().tried.take();
        drop(tried);
        let idle = {
            let mut state = self.lock();
            state.winding_down = true;
            state
                .idle
                .iter()
                .map(|seat| Arc::clone(seat.worker()))
                .collect::<Vec<_>>()
        };
        idle.iter()
            .filter(|worker| self.is_idle(worker))
            .for_each(|worker| {
                self.dismiss(worker);
            });
    }

    /// Whether no seat of a worker has a call.
    fn is_idle(&self, worker: &Arc<Worker>) -> bool {
        let state = self.lock();
        let theirs = state.idle.iter();
        let theirs = theirs.filter(|seat| Arc::ptr_eq(seat.worker(), worker));
        theirs.count() == self.plan.seats
    }

    /// Ends what nobody has used for long, and starts what is to be kept warm.
    fn tidy(self: &Arc<Self>) {
        self.arenas.retire(Instant::now());
        drop(self.tried_in_vain());
        while let Some(worker) = self.one_too_many() {
            self.dismiss(&worker);
        }
        let workers = self.lock().workers.clone();
        workers.iter().for_each(|worker| worker.end_if_overweight());
        let alive = workers.len();
        if alive < self.warm {
            self.replenish();
        }
    }

    /// The worker that the plugin was tried in, if nobody has needed it.
    fn tried_in_vain(&self) -> Option<Started> {
        let long = |tried: &mut Started| {
            tried
                .seats
                .iter()
                .all(|seat| seat.used.elapsed() >= TRIED_FOR)
        };
        self.lock().tried.take_if(long)
    }

    /// Lets workers forget arenas that are gone: until then they keep the memory. One seat at a time,
    /// so that calls find the others.
    async fn forget(self: &Arc<Self>) {
        while let Some(mut lease) = self.lease_to_forget() {
            let seat = lease.seat.as_mut().expect("it was just leased");
            match tokio::time::timeout(FORGET_WITHIN, seat.forget()).await {
                Ok(Ok(())) => lease.put_back(),
                Ok(Err(_)) | Err(_) => lease.give_up(),
            }
        }
    }

    fn lease_to_forget(self: &Arc<Self>) -> Option<Lease> {
        let mut state = self.lock();
        let at = state.idle.iter().position(Seat::has_to_forget)?;
        let seat = Some(state.idle.remove(at));
        drop(state);
        let pool = Arc::clone(self);
        Some(Lease { pool, seat })
    }

    /// Takes a seat back that had no call, to where it was.
    fn put_back(self: &Arc<Self>, seat: Seat) {
        let mut state = self.lock();
        // Asked with the lock held: whoever retires a worker looks for its seats after that.
        if seat.worker().is_usable() {
            let at = state.idle.partition_point(|it| it.used <= seat.used);
            state.idle.insert(at, seat);
            drop(state);
            self.freed.notify_one();
        } else {
            drop(state);
            self.let_go(seat);
        }
    }

    /// A worker all of whose seats have been idle for long.
    fn one_too_many(&self) -> Option<Arc<Worker>> {
        let state = self.lock();
        if state.workers.len() <= self.warm {
            return None;
        }
        let unused = |worker: &&Arc<Worker>| {
            let theirs = state.idle.iter();
            let theirs = theirs.filter(|seat| Arc::ptr_eq(seat.worker(), worker));
            let long = theirs.filter(|seat| seat.used.elapsed() >= self.idle);
            long.count() == self.plan.seats
        };
        state.workers.iter().find(unused).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with its pool.
async fn tidy(pool: Weak<Pool>) {
    loop {
        match pool.upgrade() {
            Some(pool) => {
                pool.tidy();
                pool.forget().await;
            }
            None => return,
        }
        tokio::time::sleep(TIDY_EVERY).await;
    }
}

/// A seat that a call has. Where the call is dropped, so is the worker: nobody knows what it does.
struct Lease {
    pool: Arc<Pool>,
    seat: Option<Seat>,
}

impl Lease {
    fn give_back(mut self, fate: Fate) {
        if let Some(seat) = self.seat.take() {
            self.pool.take_back(seat, fate);
        }
    }

    /// It had no call.
    fn put_back(mut self) {
        if let Some(seat) = self.seat.take() {
            self.pool.put_back(seat);
        }
    }

    /// Its worker is gone.
    fn give_up(mut self) {
        if let Some(seat) = self.seat.take() {
            self.pool.let_go(seat);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.worker().kill_for(usize::MAX);
            self.pool.take_back(seat, Fate::Dead { crashed: false });
        }
    }
}

fn no_capacity(problem: &dyn std::fmt::Display) -> CallError {
    CallError::Unavailable {
        reason: format!("no_capacity: the system gives no worker: {problem}; try again"),
        retry_after: Some(RETRY_AFTER),
    }
}
