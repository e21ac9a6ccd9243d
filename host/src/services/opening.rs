//! From a staged file to a plugin that opens itself when it is first needed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::config::{LaneKind, PluginConfig};
use crate::lane::in_process::{self, Ready};
use crate::loader::Staged;
use crate::registry::{Declaration, Plugin, Serving};
use crate::validation::{BadSchema, OptionsSchema, OutputRules, SchemaCheck};

/// The least time that a plugin has to open, however short its calls are.
const LEAST_TO_OPEN: Duration = Duration::from_secs(10);

/// The plugin in a staged file, which nobody has opened yet.
pub(super) fn plugin(staged: Staged, config: PluginConfig) -> Plugin {
    let declaration = declaration(&staged);
    let staged = Arc::new(staged);
    let settings = config.clone();
    let open = move || open(Arc::clone(&staged), settings.clone()).boxed();
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

/// Opens the plugin on a thread that may block, and waits as long as for one of its calls, but
/// not so short that a busy machine alone makes it too long: the verdict stands.
async fn open(staged: Arc<Staged>, config: PluginConfig) -> Result<Serving, String> {
    let limit = config.deadline.duration().max(LEAST_TO_OPEN);
    let opening = tokio::task::spawn_blocking(move || open_now(&staged, &config));
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

fn open_now(staged: &Staged, config: &PluginConfig) -> Result<Serving, String> {
    let ready = match config.lane {
        // The one place that waits for it.
        LaneKind::Process => Err(
            "the lane `process` is not there yet: set `lane = \"in-process\"` for this plugin"
                .to_owned(),
        ),
        LaneKind::InProcess => {
            in_process::open(staged, config).map_err(|rejection| rejection.explain())
        }
    }?;
    let bad = |error: BadSchema| format!("manifest_invalid: {error}; build it with the SDK");
    let Ready {
        lane,
        options_schema,
        output_schema,
        typed_output,
    } = ready;
    let check = match (config.check_output, typed_output) {
        (true, false) => SchemaCheck::Always,
        (true, true) => SchemaCheck::Typed,
        (false, _) => SchemaCheck::Never,
    };
    let max_output = config.max_output.as_usize();
    let options = OptionsSchema::compile(&options_schema).map_err(bad)?;
    let output = OutputRules::compile(max_output, &output_schema, check).map_err(bad)?;
    Ok(Serving {
        lane,
        options,
        output,
        options_schema,
        output_schema,
    })
}
