//! The `in-process` lane: plugins' code in the host's own process, for trusted plugins. A panic is
//! caught at the plugin's guard; a fault ends the host, and code past its deadline cannot be ended.

mod mapped;
mod run;
mod threads;

pub use mapped::Mapped;

use std::sync::Arc;

use bulkhead_plugin::Manifest as FullManifest;
use futures_util::FutureExt;
use run::Runnable;
use threads::Threads;

use crate::call::{Call, Entered, Exhausted, Lane, Permit};
use crate::config::PluginConfig;
use crate::lane::Ready;
use crate::lane::instances::Instances;
use crate::loader::{self, Opened, Rejection, Staged};
use crate::runner::Pass;

/// Opens a staged plugin, makes its first instance and lets it test itself. Runs the plugin's code,
/// so it takes as long as that takes.
///
/// # Errors
/// When it cannot be opened, would end the host with its first panic, or does not start.
pub fn open(staged: &Staged, config: &PluginConfig) -> Result<Ready, Rejection> {
    let Opened {
        module,
        manifest,
        symbols,
    } = loader::open(staged)?;
    if !module.build().panic_unwinds {
        return Err(Rejection::PanicStrategy);
    }
    let settings = config.settings.to_string();
    let instances = Instances::start(module, settings, config.concurrency)
        .map_err(|failure| Rejection::create_failed(&failure.message))?;
    let runnable = Runnable { instances, symbols };
    let lane: Arc<dyn Lane> = if config.inline {
        Arc::new(Inline(runnable))
    } else {
        let name = staged.manifest.name.as_str();
        Arc::new(OnThreads(Threads::new(name, config.concurrency, runnable)))
    };
    let FullManifest {
        options_schema,
        output_schema,
        typed_output,
        ..
    } = manifest;
    Ok(Ready {
        lane,
        options_schema,
        output_schema,
        typed_output,
        checks_schemas: false,
    })
}

/// Runs on the task that polls: for plugins that answer in microseconds.
struct Inline(Runnable);

impl Lane for Inline {
    fn enter_unguarded(&self, call: Arc<Call>, permit: Permit, _: Pass) -> Entered {
        Entered::Done(self.0.run(&call, &permit))
    }

    fn is_inline(&self) -> bool {
        true
    }

    fn outlives_deadline(&self) -> bool {
        false
    }
}

/// Runs on a bounded set of threads of its own.
struct OnThreads(Threads);

impl Lane for OnThreads {
    fn enter_unguarded(&self, call: Arc<Call>, permit: Permit, _: Pass) -> Entered {
        Entered::Running(self.0.run(call, permit).boxed())
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn outlives_deadline(&self) -> bool {
        true
    }

    fn exhausted(&self) -> Option<Exhausted> {
        self.0.exhausted()
    }
}
