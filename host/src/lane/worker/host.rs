//! What all workers of a host have in common: how they are started, the spare ones that wait for a
//! plugin, and what each is held to. Knows no call.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::arena::IdleBytes;
use super::output::Printed;
use super::protocol::{self, BUILD, FromWorker, NO_CALL};
use super::start::StartError;
use crate::config::{self, PlatformKind, PluginConfig, Sandbox};
use crate::names::PluginName;
use crate::platform::{self, Channel, Confinement, MAX_FRAME, Process, Side, Spawned, Spawner};

/// How long a new process may take to say that it is there.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Starts workers for every plugin of a host.
#[derive(Debug)]
pub struct Workers {
    /// The host's own folder.
    state: PathBuf,
    side: Side,
    spawner: Spawner,
    settings: config::Workers,
    /// Processes that have not been given a plugin yet.
    spares: Mutex<Vec<Fresh>>,
    /// Which user each plugin's workers become.
    users: Mutex<HashMap<PluginName, u32>>,
    /// What lies idle in the arenas of all plugins.
    idle: Arc<IdleBytes>,
}

/// A process that waits to be given a plugin. Ended with its drop.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) process: Owned,
    pub(super) channel: Channel,
    pub(super) printed: Arc<Printed>,
}

/// A process that ends with its owner; somebody else waits for it to be gone.
#[derive(Debug)]
pub(super) struct Owned {
    process: Arc<Process>,
    // Whether somebody else has taken over.
    released: bool,
}

impl Owned {
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Leaves the end to whoever has it now.
    pub(super) fn release(mut self) -> Arc<Process> {
        self.released = true;
        Arc::clone(&self.process)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.released {
            self.process.kill();
        }
    }
}

impl Workers {
    /// Workers as `settings` want them; `state` is the host's own folder.
    ///
    /// # Errors
    /// When the system gives no thread, or no folder.
    pub fn new(settings: &config::Workers, state: &Path) -> io::Result<Arc<Self>> {
        let fast = match settings.platform {
            PlatformKind::Auto | PlatformKind::Linux => Side::fast(),
            PlatformKind::Portable => None,
        };
        let side = match fast {
            Some(side) => side,
            None => Side::portable(own_folder(state)?),
        };
        Ok(Arc::new(Self {
            spawner: Spawner::new(&side)?,
            side,
            settings: settings.clone(),
            state: state.to_owned(),
            spares: Mutex::default(),
            users: Mutex::default(),
            idle: Arc::default(),
        }))
    }

    /// The side of the platform that they use.
    pub fn side(&self) -> &Side {
        &self.side
    }

    /// Why workers have no control group each; nothing where they have.
    pub fn ungrouped(&self) -> Option<&str> {
        self.spawner.ungrouped()
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    pub(super) fn idle(&self) -> &Arc<IdleBytes> {
        &self.idle
    }

    /// Removes the files that are memory: for the end of a host, when no call runs any more.
    pub fn close(&self) {
        if let Some(folder) = self.side.folder() {
            // The next host removes what this one cannot.
            let _ = std::fs::remove_dir_all(folder);
        }
    }

    /// Whether a worker must be shut in wholly.
    pub(super) fn insists(&self) -> bool {
        self.settings.sandbox == Sandbox::Required
    }

    /// What the workers of a plugin are held to.
    pub(super) fn confinement(&self, name: &PluginName, config: &PluginConfig) -> Confinement {
        let (memory, file_size) = (config.memory.bytes(), config.file_size.bytes());
        let sandbox = self.shuts_in();
        Confinement {
            sandbox,
            memory,
            open_files: config.open_files,
            file_size,
            tasks: config.tasks,
            uid: (sandbox && platform::is_root()).then(|| self.user(name)),
            network: config.network,
            read: config.read.clone(),
            write: config.write.clone(),
            env: config.env.clone(),
        }
    }

    /// The portable side has nothing to shut anybody in with.
    pub(super) fn shuts_in(&self) -> bool {
        self.settings.sandbox != Sandbox::Off && !matches!(self.side, Side::Portable(_))
    }

    /// One user for each plugin, because the system counts and signals by users.
    fn user(&self, name: &PluginName) -> u32 {
        let range = self.settings.uids;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let count = range.last - range.first + 1;
        *users
            .entry(name.clone())
            .or_insert(range.first + next % count)
    }

    /// A process that waits to be given a plugin: a spare one, if there is one, else a new one.
    pub(super) async fn fresh(self: &Arc<Self>) -> Result<Fresh, StartError> {
        let spare = loop {
            match self.take_spare() {
                // One that somebody has ended is no spare.
                Some(spare) if spare.process.process().exit().is_some() => {}
                other => break other,
            }
        };
        self.refill();
        match spare {
            Some(spare) => Ok(spare),
            None => self.begin().await,
        }
    }

    fn take_spare(&self) -> Option<Fresh> {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.pop()
    }

    /// Sees to it, in a task, that there are as many spares as there should be.
    fn refill(self: &Arc<Self>) {
        let host = Arc::clone(self);
        tokio::spawn(async move {
            while host.lacks_spares() {
                // What keeps one from being started is told to whoever needs one.
                let Ok(fresh) = host.begin().await else {
                    return;
                };
                let mut spares = host.spares.lock().unwrap_or_else(PoisonError::into_inner);
                if spares.len() < host.settings.spares {
                    spares.push(fresh);
                }
            }
        });
    }

    fn lacks_spares(&self) -> bool {
        let spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.len() < self.settings.spares
    }

    async fn begin(&self) -> Result<Fresh, StartError> {
        let spawned = self.spawner.spawn().await;
        let Spawned {
            process,
            channel,
            output,
        } = spawned.map_err(StartError::NoCapacity)?;
        // Whatever becomes of it: when it has ended, the system may forget it.
        let gone = Arc::clone(&process);
        tokio::spawn(async move {
            gone.ended().await;
            gone.bury().await;
        });
        let mut fresh = Fresh {
            process: Owned {
                process,
                released: false,
            },
            channel,
            printed: Printed::follow(output),
        };
        let hello = tokio::time::timeout(HELLO_WITHIN, fresh.hear_hello()).await;
        hello.map_err(|_| StartError::Hung(HELLO_WITHIN))??;
        Ok(fresh)
    }
}

impl Fresh {
    async fn hear_hello(&mut self) -> Result<(), StartError> {
        let mut buffer = vec![0; MAX_FRAME];
        let heard = self.channel.recv(&mut buffer).await;
        let length = heard.map_err(StartError::broken)?.unwrap_or_default();
        match protocol::decode(&buffer[..length]).map_err(StartError::broken)? {
            (NO_CALL, FromWorker::Hello { build }) if build == BUILD => Ok(()),
            (_, other) => Err(StartError::broken(format_args!(
                "its first word was {} and not the hello of this build",
                other.name()
            ))),
        }
    }
}

/// A folder for files that are memory; what an earlier host has left there goes.
fn own_folder(state: &Path) -> io::Result<PathBuf> {
    let folder = state.join("workers");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Workers of a host that was killed remove its folder, and must not find that of the next.
    let folder = folder.join(uuid::Uuid::new_v4().simple().to_string());
    std::fs::create_dir_all(&folder)?;
    folder.canonicalize()
}
