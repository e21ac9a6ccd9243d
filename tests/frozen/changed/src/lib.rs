//! A plugin whose types are not those of the host: it must be refused before it is called.

pub mod abi;

use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleError};
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::prefix_type::{PrefixRef, WithMetadata};
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RResult, RStr, RString, RVec};

use abi::*;

const FIELDS: &str = "name=changed\0version=1.0.0\0abi=0\0thread_safe=false\0accepts=image/*\0summary=A frozen plugin\0";

const MANIFEST: &str = r#"{
    "name": "changed", "version": "1.0.0", "abi": 0, "thread_safe": false, "accepts": ["image/*"],
    "summary": "A frozen plugin", "options_schema": {"type": "object"}, "output_schema": {"type": "object"}
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
        thread_safe: 0,
        sdk: RStr::from_str("none"),
        rustc: RStr::from_str("frozen"),
    },
    manifest,
    create,
    run,
    destroy,
    self_test: nothing,
});

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

extern "C" fn run(
    _: RawInstance,
    _: &Request<'_>,
    _: &RunContext<'_>,
) -> RResult<Response, Failure> {
    let json = br#"{"fixture": "changed"}"#.to_vec();
    RResult::ROk(Response {
        json: json.into(),
        attachments: RVec::new(),
        ext: RVec::new(),
    })
}

extern "C" fn destroy(_: RawInstance) -> RResult<(), Failure> {
    RResult::ROk(())
}

extern "C" fn nothing(_: RawInstance) -> RResult<(), Failure> {
    RResult::ROk(())
}
