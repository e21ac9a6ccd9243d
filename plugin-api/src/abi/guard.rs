//! The plugin's side of the boundary: every entry point, each behind the guard.

use std::time::Duration;

use abi_stable::library::RootModule;
use abi_stable::prefix_type::WithMetadata;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RResult, RStr, RString, RVec};
use serde::de::DeserializeOwned;

use super::export::{self, Export};
use super::panics;
use super::types::{
    BuildInfo, CallHandle, Failure, FailureKind, HostTableRef, NO_DEADLINE, PluginModule,
    PluginModuleRef, RawAttachment, RawInstance, Request, Response, RunContext,
};
use crate::context::{Context, Host, Level};
use crate::error::{Error, Kind};
use crate::manifest::Manifest;
use crate::{Attachment, Plugin};

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}

    const BASE_NAME: &'static str = "bulkhead_plugin";
    const NAME: &'static str = "bulkhead_plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// The root module of `E`.
pub(crate) fn module<E: Export>() -> PluginModuleRef {
    PluginModuleRef(Entries::<E>::MODULE.static_as_prefix())
}

struct Entries<E>(E);

impl<E: Export> Entries<E> {
    const MODULE: &'static WithMetadata<PluginModule> = &WithMetadata::new(PluginModule {
        build: BuildInfo {
            panic_unwinds: E::PANIC_UNWINDS,
            thread_safe: export::thread_safe::<E>(),
            sdk: RStr::from_str(env!("CARGO_PKG_VERSION")),
            rustc: RStr::from_str(env!("BULKHEAD_RUSTC")),
        },
        manifest: manifest::<E>,
        create: create::<E::Plugin>,
        run: run::<E::Plugin>,
        destroy: destroy::<E::Plugin>,
        self_test: self_test::<E::Plugin>,
    });
}

extern "C" fn manifest<E: Export>() -> RResult<RString, Failure> {
    guard(|| Ok(RString::from(Manifest::of::<E>().to_json())))
}

extern "C" fn create<P: Plugin>(settings: RStr<'_>) -> RResult<RawInstance, Failure> {
    guard(|| {
        let settings = parse_settings::<P::Settings>(settings.as_str())?;
        let instance = Box::new(P::new(settings)?);
        Ok(RawInstance(Box::into_raw(instance).cast()))
    })
}

extern "C" fn run<P: Plugin>(
    instance: RawInstance,
    request: &Request<'_>,
    context: &RunContext<'_>,
) -> RResult<Response, Failure> {
    guard(|| {
        // SAFETY: the host passes what `create::<P>` gave, not yet destroyed, and to one call at a
        // time unless the plugin is thread-safe, for which `export_plugin!` has asked for `Sync`.
        let plugin = unsafe { &*instance.0.cast::<P>() };
        run_safe(plugin, request, context)
    })
}

fn run_safe<P: Plugin>(
    plugin: &P,
    request: &Request<'_>,
    raw: &RunContext<'_>,
) -> Result<Response, Error> {
    let options = serde_json::from_str(request.options.as_str())
        .map_err(|error| Error::new(Kind::InvalidOptions, error))?;
    let pairs: Vec<_> = request
        .ext
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_str()))
        .collect();
    let host = AbiHost {
        table: raw.host,
        call: raw.call,
    };
    let context = Context::new(raw.cancelled, &host);
    let image = crate::Request::new(request.image.as_slice(), request.mime_type.as_str(), &pairs);
    let output = plugin.run(&image, options, &context)?;
    let mut json = Vec::with_capacity(256);
    serde_json::to_writer(&mut json, &output)
        .map_err(|error| Error::new(Kind::Unserializable, error))?;
    let attachments = context
        .into_attachments()
        .into_iter()
        .map(RawAttachment::from)
        .collect();
    Ok(Response {
        json: json.into(),
        attachments,
        ext: RVec::new(),
    })
}

extern "C" fn destroy<P: Plugin>(instance: RawInstance) -> RResult<(), Failure> {
    guard(|| {
        // SAFETY: the host passes what `create::<P>` gave, once, after the last `run` has returned.
        drop(unsafe { Box::from_raw(instance.0.cast::<P>()) });
        Ok(())
    })
}

extern "C" fn self_test<P: Plugin>(instance: RawInstance) -> RResult<(), Failure> {
    guard(|| {
        // SAFETY: the host passes what `create::<P>` gave, not yet destroyed and not in a call.
        unsafe { &*instance.0.cast::<P>() }.self_test()
    })
}

/// The one way from the host into an author's code.
fn guard<T>(entry: impl FnOnce() -> Result<T, Error>) -> RResult<T, Failure> {
    match panics::catch(entry) {
        Ok(Ok(value)) => RResult::ROk(value),
        Ok(Err(error)) => RResult::RErr(Failure::from(error)),
        Err(panic) => RResult::RErr(Failure::from(panic)),
    }
}

/// No settings are `{}` in the configuration, which `()` cannot be read from.
fn parse_settings<S: DeserializeOwned>(json: &str) -> Result<S, Error> {
    let parsed = serde_json::from_str(json).or_else(|error| match json {
        "{}" => serde_json::from_str("null").map_err(|_| error),
        _ => Err(error),
    });
    parsed.map_err(|error| Error::new(Kind::InvalidSettings, error))
}

struct AbiHost {
    table: HostTableRef,
    call: CallHandle,
}

// SAFETY: a `HostTable` may be called from any thread while `run` lasts; the handle is opaque here.
unsafe impl Sync for AbiHost {}

impl Host for AbiHost {
    fn progress(&self, fraction: f32) {
        (self.table.progress())(self.call, fraction);
    }

    fn remaining(&self) -> Option<Duration> {
        let left = (self.table.remaining_ns())(self.call);
        (left != NO_DEADLINE).then(|| Duration::from_nanos(left))
    }

    fn log(&self, level: Level, message: &str) {
        (self.table.log())(self.call, level.number(), RStr::from_str(message));
    }
}

impl From<Attachment> for RawAttachment {
    fn from(attachment: Attachment) -> Self {
        let Attachment {
            name,
            mime_type,
            data,
        } = attachment;
        Self {
            name: name.into(),
            mime_type: mime_type.into(),
            data: data.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            Kind::Failed => FailureKind::FAILED,
            Kind::InvalidInput => FailureKind::INVALID_INPUT,
            Kind::InvalidOptions => FailureKind::INVALID_OPTIONS,
            Kind::InvalidSettings => FailureKind::INVALID_SETTINGS,
            Kind::Unserializable => FailureKind::UNSERIALIZABLE,
            Kind::Cancelled => FailureKind::CANCELLED,
        };
        let details = serde_json::to_string(error.details()).unwrap_or_default();
        Self {
            details: details.into(),
            ..Self::new(kind, error.message())
        }
    }
}

impl From<panics::Panic> for Failure {
    fn from(panic: panics::Panic) -> Self {
        Self {
            location: panic.location.into(),
            backtrace: panic.backtrace.into(),
            ..Self::new(FailureKind::PANIC, &panic.message)
        }
    }
}

impl Failure {
    fn new(kind: FailureKind, message: &str) -> Self {
        Self {
            kind,
            message: message.into(),
            details: RString::new(),
            location: RString::new(),
            backtrace: RVec::new(),
            ext: RVec::new(),
        }
    }
}
