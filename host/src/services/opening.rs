//! From a staged file to a generation that opens itself when it is first needed, and tells what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::Notify;

use crate::call::{Exhausted, Listener, News};
use crate::config::{LaneKind, PluginConfig};
use crate::events::{Event, EventLog, Kind};
use crate::lane::Ready;
use crate::lane::in_process::{self, Mapped};
use crate::lane::worker::{self, Workers};
use crate::loader::{Rejection, Staged};
use crate::registry::{Declaration, Generation, Serving};
use crate::validation::{BadSchema, OptionsSchema, OutputRules, SchemaCheck};

/// Where plugins' code may run.
#[derive(Clone)]
pub(super) struct Lanes {
    pub(super) workers: Arc<Workers>,
    pub(super) mapped: Arc<Mapped>,
    pub(super) events: Arc<EventLog>,
}

/// What is heard of one plugin's lanes, by whoever looks after it.
#[derive(Clone, Default)]
pub(super) struct Ears {
    /// One of its builds is held back.
    pub(super) alarm: Arc<Notify>,
    /// Workers that had to be ended.
    pub(super) forced_kills: Arc<AtomicU64>,
    /// What the latest build that is held back has died of.
    pub(super) last_crash: Arc<ArcSwapOption<String>>,
}

/// What a generation is made of.
#[derive(Clone)]
struct Build {
    lanes: Lanes,
    staged: Arc<Staged>,
    config: PluginConfig,
    listener: Listener,
}

impl Lanes {
    /// The generation in a staged file, which nobody has opened yet. Its code runs in workers, unless the operator
    /// trusts it.
    pub(super) fn generation(
        &self,
        staged: &Arc<Staged>,
        config: &PluginConfig,
        ears: &Ears,
    ) -> Arc<Generation> {
        let build = Build {
            lanes: self.clone(),
            staged: Arc::clone(staged),
            config: config.clone(),
            listener: self.listener(staged, ears),
        };
        let open = move || build.clone().open_and_tell().boxed();
        Generation::new(declaration(staged), config.clone(), Box::new(open))
    }

    /// Makes events of what a generation's lane tells, and wakes who looks after the plugin.
    fn listener(&self, staged: &Staged, ears: &Ears) -> Listener {
        let (events, ears) = (Arc::clone(&self.events), ears.clone());
        let (name, digest) = (staged.manifest.name.clone(), staged.digest);
        Listener::new(move |news| {
            let event = |kind| Event::of(kind).plugin(&name).generation(digest);
            events.tell(match news {
                News::Quarantined {
                    crashes,
                    delay,
                    last_crash,
                } => {
                    let last = Arc::new(last_crash);
                    ears.last_crash.store(Some(Arc::clone(&last)));
                    event(Kind::Quarantined)
                        .reason(last)
                        .detail("crashes", crashes)
                        .detail("seconds", delay.as_secs())
                }
                News::Released { why } => event(Kind::Released).reason(why),
                News::ForcedKill => {
                    ears.forced_kills.fetch_add(1, Ordering::Relaxed);
                    event(Kind::ForcedKill).reason("its worker did not end by itself")
                }
            });
            ears.alarm.notify_one();
        })
    }
}

/// An event about a staged file.
pub(super) fn event_of(kind: Kind, staged: &Staged) -> Event {
    let manifest = &staged.manifest;
    Event::of(kind)
        .plugin(&manifest.name)
        .version(&manifest.version)
        .generation(staged.digest)
        .file(&staged.file_name)
}

impl Build {
    async fn open_and_tell(self) -> Result<Serving, Exhausted> {
        let (events, staged) = (Arc::clone(&self.lanes.events), Arc::clone(&self.staged));
        let opened = self.open().await;
        match &opened {
            Ok(_) => events.tell(event_of(Kind::Probed, &staged)),
            // The machine has no room for it now: that says nothing of the build, and is tried again.
            Err(refused) if refused.retry_after.is_some() => {}
            Err(refused) => events.tell(event_of(Kind::Rejected, &staged).reason(&refused.reason)),
        }
        opened
    }

    /// Opens it in a worker. Only what the operator trusts is opened here as well, and only after a worker has shown
    /// that it can be.
    async fn open(self) -> Result<Serving, Exhausted> {
        let Self {
            lanes,
            staged,
            config,
            listener,
        } = self;
        let workers = &lanes.workers;
        match config.lane {
            LaneKind::Process => {
                let ready = worker::open(workers, &staged, &config, &listener).await?;
                serving(ready, &config)
            }
            LaneKind::InProcess => {
                worker::try_out(workers, &staged, &config, &listener).await?;
                match lanes.claim(&staged) {
                    Ok(()) => open_here(staged, config).await,
                    Err(rejection) => Err(rejection.explain()),
                }
            }
        }
        .map_err(for_good)
    }
}

impl Lanes {
    fn claim(&self, staged: &Staged) -> Result<(), Rejection> {
        let claimed = self.mapped.claim(&staged.manifest.name, staged.digest);
        if let Err(rejection) = &claimed {
            let event = event_of(Kind::RestartRequired, staged);
            self.events.tell(event.reason(rejection));
        }
        claimed
    }
}

fn declaration(staged: &Staged) -> Declaration {
    let manifest = &staged.manifest;
    Declaration {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        description: manifest.summary.clone(),
        accepts: manifest.accepts.clone(),
        thread_safe: manifest.thread_safe,
        file: staged.file_name.clone(),
        digest: staged.digest,
    }
}

fn for_good(reason: String) -> Exhausted {
    Exhausted {
        reason,
        retry_after: None,
    }
}

/// Opens it on a thread that may block, and waits as long as the operator allows: the verdict
/// stands.
async fn open_here(staged: Arc<Staged>, config: PluginConfig) -> Result<Serving, String> {
    let limit = config.startup.duration();
    let opening = tokio::task::spawn_blocking(move || {
        let ready = in_process::open(&staged, &config);
        serving(ready.map_err(|rejection| rejection.explain())?, &config)
    });
    match tokio::time::timeout(limit, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(panic)) => Err(format!(
            "load_failed: the host's own code panicked: {panic}"
        )),
        Err(_) => Err(format!(
            "load_hung: it was not open within {} ms, and its code cannot be ended: restart the \
             host without it",
            limit.as_millis()
        )),
    }
}

fn serving(ready: Ready, config: &PluginConfig) -> Result<Serving, String> {
    let bad = |error: BadSchema| format!("manifest_invalid: {error}; build it with the SDK");
    let Ready {
        lane,
        options_schema,
        output_schema,
        typed_output,
        checks_schemas,
    } = ready;
    let any = Value::Bool(true);
    let (options, output, check) = if checks_schemas {
        (&any, &any, SchemaCheck::Never)
    } else {
        let check = SchemaCheck::of(config.check_output, typed_output);
        (&options_schema, &output_schema, check)
    };
    let max_output = config.max_output.as_usize();
    let options = OptionsSchema::compile(options).map_err(bad)?;
    let output = OutputRules::compile(max_output, output, check).map_err(bad)?;
    Ok(Serving {
        lane,
        options,
        output,
        options_schema,
        output_schema,
    })
}
