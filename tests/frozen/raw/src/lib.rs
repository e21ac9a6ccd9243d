//! A plugin without the SDK that answers whatever bytes its caller asks for, true or not, out of an
//! allocator of its own.

pub mod abi;
mod allocator;
mod answers;

use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleError};
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::prefix_type::{PrefixRef, WithMetadata};
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RResult, RStr, RString, RVec};

use abi::*;

const FIELDS: &str =
    "name=raw\0version=1.0.0\0abi=0\0thread_safe=true\0accepts=*/*\0summary=Answers any bytes\0";

const MANIFEST: &str = r#"{
    "name": "raw", "version": "1.0.0", "abi": 0, "thread_safe": true, "accepts": ["*/*"],
    "summary": "Answers any bytes",
    "options_schema": {"type": "object"},
    "output_schema": {"type": "object", "properties": {"fixture": {"type": "string"}}}
}"#;

#[repr(C, align(4))]
struct Note {
    sizes_and_kind: [u32; 3],
    name: [u8; 12],
    fields: [u8; FIELDS.len()],
}

#[used]
#[unsafe(link_section = ".note.bulkhead")]
static NOTE: Note = Note {
    sizes_and_kind: [9, FIELDS.len() as u32, 1],
    name: *b"Bulkhead\0\0\0\0",
    fields: {
        let mut fields = [0; FIELDS.len()];
        fields.copy_from_slice(FIELDS.as_bytes());
        fields
    },
};

// SAFETY: `root` gives a `PluginModuleRef`, the type named here.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
static HEADER: LibHeader =
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(root, CheckTypeLayout::Yes) };

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}

    const BASE_NAME: &'static str = "bulkhead_plugin";
    const NAME: &'static str = "bulkhead_plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

const MODULE: &WithMetadata<PluginModule> = &WithMetadata::new(PluginModule {
    build: BuildInfo {
        panic_unwinds: true,
        thread_safe: true,
        sdk: RStr::from_str("none"),
        rustc: RStr::from_str("any"),
    },
    manifest,
    create,
    run,
    destroy,
    self_test: destroy,
});

/// Leaves a mark where the environment says, as soon as the library is opened.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = {
    extern "C" fn leave_a_mark() {
        if let Some(path) = std::env::var_os("RAW_PLUGIN_MARK") {
            let _ = std::fs::write(path, "opened");
        }
    }
    leave_a_mark
};

extern "C" fn root() -> RResult<PrefixRef<ErasedPrefix>, RootModuleError> {
    let root = MODULE.static_as_prefix();
    // SAFETY: erasing hides the fields only; who loads the module checks its layout first.
    RResult::ROk(unsafe { root.cast::<ErasedPrefix>() })
}

extern "C" fn manifest() -> RResult<RString, Failure> {
    RResult::ROk(MANIFEST.into())
}

extern "C" fn create(_: RStr<'_>) -> RResult<RawInstance, Failure> {
    RResult::ROk(RawInstance(std::ptr::null_mut()))
}

extern "C" fn destroy(_: RawInstance) -> RResult<(), Failure> {
    RResult::ROk(())
}

extern "C" fn run(
    _: RawInstance,
    request: &Request<'_>,
    _: &RunContext<'_>,
) -> RResult<Response, Failure> {
    // The options are `{"say": WAY}`: all that is needed of them stands between two quotes.
    let way = request.options.as_str().split('"').nth(3);
    match answers::answer(way.unwrap_or("fine")) {
        Ok(json) => RResult::ROk(Response {
            json: json.into(),
            attachments: RVec::new(),
            ext: RVec::new(),
        }),
        Err(failure) => RResult::RErr(*failure),
    }
}
