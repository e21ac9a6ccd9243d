//! What `export_plugin!` puts into an author's library: the note that can be read without running
//! anything, and the root module's header.

use abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleError};
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::prefix_type::{PrefixRef, PrefixRefTrait};
use abi_stable::std_types::RResult;

use super::guard;
use super::types::PluginModuleRef;
use crate::Plugin;

/// Makes a crate a plugin: declares `$plugin`, which implements [`Plugin`], under a name.
///
/// - `name`: 1 to 64 of `a-z 0-9 -`, the first a letter.
/// - `accepts`: the MIME types it takes: `image/png`, `image/*` or `*/*`.
/// - `summary`: one line on what it does.
/// - `thread_safe: true` (optional): one instance may run several calls at a time; the type must
///   then be `Sync`. Otherwise an instance runs one call at a time.
///
/// The version is the crate's. The crate's type must be `cdylib`. What is wrong with a declaration
/// stops the build:
///
/// ```compile_fail
/// # use bulkhead_plugin::{Context, Error, NoOptions, Plugin, Request, export_plugin};
/// # struct P;
/// # impl Plugin for P {
/// #     type Settings = ();
/// #     type Options = NoOptions;
/// #     type Output = NoOutput;
/// #     fn new(_: ()) -> Result<Self, Error> { Ok(Self) }
/// #     fn run(&self, _: &Request, _: NoOptions, _: &Context) -> Result<NoOutput, Error> { Ok(NoOutput {}) }
/// # }
/// # #[derive(serde::Serialize, schemars::JsonSchema)]
/// # struct NoOutput {}
/// export_plugin! { P, name: "Not A Name", accepts: ["image/*"], summary: "…" }
/// ```
#[macro_export]
macro_rules! export_plugin {
    (
        $plugin:ty,
        name: $name:literal,
        accepts: [$($mime_type:literal),+ $(,)?],
        summary: $summary:literal
        $(, thread_safe: $thread_safe:literal)? $(,)?
    ) => {
        const _: () = {
            struct Exported;

            impl $crate::abi::Export for Exported {
                type Plugin = $plugin;
                const FIELDS: &'static str = ::core::concat!(
                    "name=", $name, "\0",
                    "version=", ::core::env!("CARGO_PKG_VERSION"), "\0",
                    "abi=", $crate::__revision!(), "\0",
                    "thread_safe=", $crate::__thread_safe!($plugin $(, $thread_safe)?), "\0",
                    $("accepts=", $mime_type, "\0",)+
                    "summary=", $summary, "\0",
                );
                const THREAD_SAFE: bool = $crate::__thread_safe!($plugin $(, $thread_safe)?);
                const PANIC_UNWINDS: bool = ::core::cfg!(panic = "unwind");
            }

            $crate::__assert_sync!($plugin $(, $thread_safe)?);
            $crate::abi::check_name($name);
            $($crate::abi::check_mime_type($mime_type);)+
            $crate::abi::check_summary($summary);

            const FIELDS: &str = <Exported as $crate::abi::Export>::FIELDS;

            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__bhmeta"))]
            #[cfg_attr(windows, unsafe(link_section = ".bhmeta"))]
            #[cfg_attr(
                not(any(target_vendor = "apple", windows)),
                unsafe(link_section = ".note.bulkhead")
            )]
            static NOTE: $crate::abi::Note<{ FIELDS.len() }> = $crate::abi::Note::new(FIELDS);

            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static HEADER: $crate::abi::Header = $crate::abi::header::<Exported>();
        };
    };
}

/// [`REVISION`](crate::abi::REVISION) as a literal.
#[doc(hidden)]
#[macro_export]
macro_rules! __revision {
    () => {
        0
    };
}

const _: () = assert!(crate::__revision!() == super::REVISION);

#[doc(hidden)]
#[macro_export]
macro_rules! __thread_safe {
    ($plugin:ty) => {
        false
    };
    ($plugin:ty, $thread_safe:literal) => {
        $thread_safe
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_sync {
    ($plugin:ty, true) => {
        const fn assert_sync<T: ::core::marker::Sync>() {}
        assert_sync::<$plugin>();
    };
    ($($other:tt)*) => {};
}

/// A plugin and what [`export_plugin!`](crate::export_plugin) says of it.
pub trait Export: 'static {
    /// The plugin's type.
    type Plugin: Plugin;
    /// The fields of the note: `key=value`, each ended by NUL.
    const FIELDS: &'static str;
    /// Whether one instance may run several calls at a time.
    const THREAD_SAFE: bool;
    /// Whether the library was built with unwinding panics.
    const PANIC_UNWINDS: bool;
}

/// What a host looks up by name in a library.
pub type Header = LibHeader;

/// The header of `E`'s library.
pub const fn header<E: Export>() -> Header {
    // SAFETY: `root` gives a `PluginModuleRef`, the type named here.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(root::<E>, CheckTypeLayout::Yes) }
}

extern "C" fn root<E: Export>() -> RResult<PrefixRef<ErasedPrefix>, RootModuleError> {
    let root = guard::module::<E>().to_prefix_ref();
    // SAFETY: erasing hides the fields only; who loads the module checks its layout first.
    RResult::ROk(unsafe { root.cast::<ErasedPrefix>() })
}

/// The section of the file that says what plugin it is: one ELF note, in all object formats alike.
#[repr(C, align(4))]
pub struct Note<const N: usize> {
    name_len: u32,
    fields_len: u32,
    kind: u32,
    name: [u8; 12],
    fields: [u8; N],
}

impl<const N: usize> Note<N> {
    /// A note of these fields, which are `N` bytes long.
    pub const fn new(fields: &str) -> Self {
        assert!(fields.len() == N, "a note is as long as its fields");
        let mut copy = [0; N];
        copy.copy_from_slice(fields.as_bytes());
        Self {
            name_len: 9,
            fields_len: N as u32,
            kind: 1,
            name: *b"Bulkhead\0\0\0\0",
            fields: copy,
        }
    }
}

/// Stops the build unless `name` can be a plugin's.
pub const fn check_name(name: &str) {
    let bytes = name.as_bytes();
    assert!(
        !bytes.is_empty() && bytes.len() <= 64,
        "a plugin's name has 1 to 64 characters"
    );
    assert!(
        bytes[0].is_ascii_lowercase(),
        "a plugin's name begins with a letter a-z"
    );
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-'),
            "a plugin's name consists of a-z, 0-9 and -"
        );
        at += 1;
    }
}

/// Stops the build unless `mime_type` is one that a plugin can accept.
pub const fn check_mime_type(mime_type: &str) {
    let bytes = mime_type.as_bytes();
    let mut slashes = 0;
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            bytes[at].is_ascii_graphic() && !bytes[at].is_ascii_uppercase(),
            "an accepted MIME type is lower case, without spaces or parameters"
        );
        slashes += (bytes[at] == b'/') as usize;
        at += 1;
    }
    assert!(
        slashes == 1,
        "an accepted MIME type reads type/subtype, type/* or */*"
    );
}

/// Stops the build unless `summary` is a line.
pub const fn check_summary(summary: &str) {
    let bytes = summary.as_bytes();
    assert!(
        !bytes.is_empty() && bytes.len() <= 1024,
        "a summary has 1 to 1,024 bytes"
    );
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            !bytes[at].is_ascii_control(),
            "a summary is one line of text"
        );
        at += 1;
    }
}
