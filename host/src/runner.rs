//! The one governed path into a plugin: validate, find, admit, run under a deadline, validate,
//! envelope, record. Knows no library, no process and no HTTP.
//!
//! Only this module can make a [`Pass`], and without one no lane lets anybody in.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio_util::task::TaskTracker;

use crate::call::{Call, Entered, Outcome, Permit};
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::registry::{Look, Plugin, PluginRegistry, Serving, Turn};
use crate::trace::{Facts, OpenSpan, SpanKind, Trace};
use crate::validation::{self, InputLimits, Output};

/// The key to a plugin's door.
pub struct Pass(());

/// Runs every call there is.
pub struct ToolRunner {
    registry: Arc<PluginRegistry>,
    limits: InputLimits,
    tasks: TaskTracker,
}

impl ToolRunner {
    /// A runner for the plugins of `registry`; calls that outlive their callers count in `tasks`.
    pub fn new(registry: Arc<PluginRegistry>, limits: InputLimits, tasks: TaskTracker) -> Self {
        Self {
            registry,
            limits,
            tasks,
        }
    }

    /// Carries out one call. Gives a result or an error, exactly one, whatever the plugin does.
    ///
    /// When the future is dropped the call is cancelled; it is recorded all the same.
    ///
    /// # Errors
    /// The envelope of what went wrong.
    pub async fn run(&self, call: Arc<Call>) -> Result<Output, Box<Envelope>> {
        let span = TracedCall::begin(&call);
        let outcome = self.run_traced(call, &span).await;
        if let Some(span) = &span {
            span.end(outcome.as_ref().err().map(Box::as_ref));
        }
        outcome
    }

    async fn run_traced(
        &self,
        call: Arc<Call>,
        span: &Option<TracedCall>,
    ) -> Result<Output, Box<Envelope>> {
        let within = span.as_ref().map(TracedCall::within);
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| self.find(&call)));
        match found.unwrap_or_else(|payload| Err(internal(&*payload))) {
            Ok((plugin, look)) => self.run_in(plugin, look, call, within).await,
            Err(error) => Err(enveloped(&error, &call)),
        }
    }

    /// Checks a call that is to be carried out later, as far as that can be told now: a plugin that cannot be called
    /// now may be then.
    ///
    /// # Errors
    /// The envelope of what is wrong with it.
    pub async fn check(&self, call: &Call) -> Result<(), Box<Envelope>> {
        let check = async {
            validation::input(call, self.limits)?;
            let plugin = self.registry.get_plugin(call.plugin.as_str())?;
            plugin.suits(&call.mime_type, call.options.as_deref()).await
        };
        let checked = AssertUnwindSafe(check).catch_unwind().await;
        let checked = checked.unwrap_or_else(|payload| Err(internal(&*payload)));
        checked.map_err(|error| enveloped(&error, call))
    }

    /// Everything that can be told before the plugin is touched.
    fn find(&self, call: &Call) -> Result<(Arc<Plugin>, Look), CallError> {
        validation::input(call, self.limits)?;
        let plugin = self.registry.get_plugin(call.plugin.as_str())?;
        let look = plugin.look(&call.mime_type);
        let look = look.inspect_err(|error| plugin.refuse(error.code()))?;
        Ok((plugin, look))
    }

    /// The call runs in a task of its own, which a caller that hangs up leaves behind; only an
    /// inline call needs none, because it cannot be left.
    async fn run_in(
        &self,
        plugin: Arc<Plugin>,
        look: Look,
        call: Arc<Call>,
        trace: Option<Trace>,
    ) -> Result<Output, Box<Envelope>> {
        if look.is_inline {
            return govern(&plugin, look, &call, trace).await;
        }
        let _waiting = CancelOnDrop(Arc::clone(&call));
        let governed = Arc::clone(&call);
        let task = self
            .tasks
            .spawn(async move { govern(&plugin, look, &governed, trace).await });
        // Tasks end early only with their runtime.
        task.await
            .unwrap_or_else(|_| Err(enveloped(&CallError::Cancelled, &call)))
    }
}

/// The span of a call, from its coming in to its end. Whoever drops it before has gone.
struct TracedCall {
    span: OpenSpan,
    call: Arc<Call>,
}

impl TracedCall {
    fn begin(call: &Arc<Call>) -> Option<Self> {
        let span = call.trace.as_ref()?.open(SpanKind::Internal);
        let call = Arc::clone(call);
        Some(Self { span, call })
    }

    fn within(&self) -> Trace {
        self.span.within()
    }

    fn end(&self, error: Option<&Envelope>) {
        self.end_with(error.map_or("success", |error| error.code().as_str()));
    }

    fn end_with(&self, outcome: &'static str) {
        let generation = self.call.generation().map(|digest| digest.short());
        let facts = Facts::default()
            .with("bulkhead.plugin", &self.call.plugin)
            .with("bulkhead.generation", generation.unwrap_or_default())
            .with("bulkhead.job", self.call.id)
            .with("bulkhead.request", &self.call.request_id)
            .with("bulkhead.outcome", outcome);
        let error = (outcome != "success").then_some(outcome);
        self.span.end("call", facts.error(error));
    }
}

impl Drop for TracedCall {
    fn drop(&mut self) {
        // Without effect where it has ended: the first end stands.
        self.end_with(crate::error::Code::Cancelled.as_str());
    }
}

/// Tells the plugin's code that its caller has gone. Without effect once the call has ended.
struct CancelOnDrop(Arc<Call>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn govern(
    plugin: &Plugin,
    look: Look,
    call: &Arc<Call>,
    trace: Option<Trace>,
) -> Result<Output, Box<Envelope>> {
    let came = Instant::now();
    let admitted = AssertUnwindSafe(admit(plugin, look, call))
        .catch_unwind()
        .await;
    match admitted.unwrap_or_else(|payload| Err(internal(&*payload))) {
        Ok(turn) => {
            if let Some(trace) = &trace {
                trace.tell("admission", (came, Instant::now()), Facts::default());
            }
            execute(plugin, turn, call, trace).await
        }
        Err(error) => {
            plugin.refuse(error.code());
            Err(enveloped(&error, call))
        }
    }
}

/// A turn in the generation that then serves the call. Who goes away while the call waits gets none.
async fn admit(plugin: &Plugin, look: Look, call: &Call) -> Result<Turn, CallError> {
    fail::fail_point!("runner.admit");
    let turn = tokio::select! {
        biased;
        turn = plugin.admit(Instant::now(), call.deadline) => turn?,
        () = call.until_cancelled() => return Err(CallError::Cancelled),
    };
    if turn.has_waited {
        plugin.can_serve()?;
    }
    if !look.was_of(&turn.generation) {
        turn.generation.accepts(&call.mime_type)?;
    }
    let serving = match turn.generation.serving_now() {
        Some(serving) => serving,
        None => opened(&turn).await?,
    };
    serving.options.check(call.options.as_deref())?;
    Ok(turn)
}

/// The first calls of a plugin wait for it to open, but no longer than for an answer.
async fn opened(turn: &Turn) -> Result<&Serving, CallError> {
    let due = turn.permit.deadline.into();
    match tokio::time::timeout_at(due, turn.generation.serving()).await {
        Ok(opened) => opened.map_err(CallError::from),
        Err(_) => Err(CallError::timed_out(turn.permit.limit)),
    }
}

/// Runs an admitted call and records how it ended.
async fn execute(
    plugin: &Plugin,
    turn: Turn,
    call: &Arc<Call>,
    trace: Option<Trace>,
) -> Result<Output, Box<Envelope>> {
    let Turn {
        generation, permit, ..
    } = turn;
    call.set_generation(generation.declaration().digest);
    let (began, due, limit) = (permit.granted, permit.deadline, permit.limit);
    let serving = generation
        .serving_now()
        .expect("it was opened to be admitted");
    let running = async {
        let raw = enter(serving, call, permit).await?;
        serving.output.check(raw)
    };
    let caught = AssertUnwindSafe(running).catch_unwind().await;
    let mut outcome = caught.unwrap_or_else(|payload| Err(internal(&*payload)));
    let ended = Instant::now();
    if serving.lane.is_inline() && ended > due {
        outcome = Err(CallError::timed_out(limit));
    }
    let outcome = outcome.map_err(|error| enveloped(&error, call));
    let error = outcome.as_ref().err().map(Box::as_ref);
    plugin.record(&generation, began, ended, error);
    if let Some(trace) = trace {
        let facts = Facts::default().with("bulkhead.lane", generation.config().lane.as_str());
        let facts = facts.error(error.map(|error| error.code().as_str()));
        trace.tell("plugin", (began, ended), facts);
    }
    outcome
}

/// The one door. Inline code cannot be interrupted; all other is given up when its answer is due,
/// or somewhat later where the lane ends it by itself.
async fn enter(serving: &Serving, call: &Arc<Call>, permit: Permit) -> Outcome {
    let (lane, limit) = (&serving.lane, permit.limit);
    let given_up = permit.deadline + lane.grace();
    let running = match lane.enter_unguarded(Arc::clone(call), permit, Pass(())) {
        Entered::Done(outcome) => return outcome,
        Entered::Running(running) => running,
    };
    tokio::time::timeout_at(given_up.into(), running)
        .await
        .unwrap_or_else(|_| {
            call.cancel();
            Err(CallError::TimedOut {
                deadline: limit,
                still_running: lane.outlives_deadline(),
            })
        })
}

fn enveloped(error: &CallError, call: &Call) -> Box<Envelope> {
    Box::new(Envelope::new(error, Some(&call.plugin)))
}

/// A panic here is the host's own: those of plugins end at their guard.
fn internal(payload: &(dyn Any + Send)) -> CallError {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    CallError::internal(format!("panic: {}", text.unwrap_or("without text")))
}
