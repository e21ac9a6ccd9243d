//! From a staged file to a plugin that opens itself when it is first needed.

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;

use crate::call::{Exhausted, Listener};
use crate::config::{LaneKind, PluginConfig};
use crate::lane::worker::{self, Workers};
use crate::lane::{Ready, in_process};
use crate::loader::Staged;
use crate::registry::{Declaration, Plugin, Serving};
use crate::validation::{BadSchema, OptionsSchema, OutputRules, SchemaCheck};

/// The plugin in a staged file, which nobody has opened yet. Its code runs in `workers`, unless the
/// operator trusts it.
pub(super) fn plugin(workers: &Arc<Workers>, staged: Arc<Staged>, config: PluginConfig) -> Plugin {
    let declaration = declaration(&staged);
    let (workers, settings) = (Arc::clone(workers), config.clone());
    let open = move || {
        let (workers, staged) = (Arc::clone(&workers), Arc::clone(&staged));
        open(workers, staged, settings.clone()).boxed()
    };
    Plugin::new(declaration, config, Box::new(open))
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

/// Opens the plugin in a worker. Only one that the operator trusts is opened here as well, and only
/// after a worker has shown that it can be.
async fn open(
    workers: Arc<Workers>,
    staged: Arc<Staged>,
    config: PluginConfig,
) -> Result<Serving, Exhausted> {
    match config.lane {
        LaneKind::Process => {
            let ready = worker::open(&workers, &staged, &config, &Listener::nobody()).await?;
            serving(ready, &config)
        }
        LaneKind::InProcess => {
            worker::try_out(&workers, &staged, &config, &Listener::nobody()).await?;
            open_here(staged, config).await
        }
    }
    .map_err(for_good)
}

fn for_good(reason: String) -> Exhausted {
    Exhausted {
        reason,
        retry_after: None,
    }
}

/// Opens the plugin on a thread that may block, and waits as long as the operator allows: the verdict
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
