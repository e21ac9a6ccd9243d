//! What `export_plugin!` makes of an author's declaration: the root module's header, and beside it
//! the note. Knows what is declared, not how the note says it.

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
/// - `accepts`: the MIME types it takes, each `image/png`, `image/*` or `*/*`: a list of them, or a
///   `&[&str]` constant, which several plugins may share.
/// - `summary`: one line on what it does, of at most 1,024 bytes.
/// - `thread_safe: true` (optional): one instance may run several calls at a time; the type must
///   then be `Sync`. Otherwise an instance runs one call at a time.
///
/// The version is the crate's. The crate's type must be `cdylib`.
///
/// ```standalone_crate
/// # use bulkhead_plugin::{Context, Error, NoOptions, Plugin, Request, export_plugin};
/// # struct P(std::sync::atomic::AtomicU8);
/// # impl Plugin for P {
/// #     type Settings = ();
/// #     type Options = NoOptions;
/// #     type Output = NoOutput;
/// #     fn new(_: ()) -> Result<Self, Error> { Ok(Self(0.into())) }
/// #     fn run(&self, _: &Request, _: NoOptions, _: &Context) -> Result<NoOutput, Error> { Ok(NoOutput {}) }
/// # }
/// # #[derive(serde::Serialize, schemars::JsonSchema)]
/// # struct NoOutput {}
/// const PHOTOS: &[&str] = &["image/jpeg", "image/heif"];
///
/// export_plugin! { P, name: "p", accepts: PHOTOS, summary: "…", thread_safe: true }
/// # fn main() {}
/// ```
///
/// What is wrong with a declaration stops the build, as this name does:
///
/// ```compile_fail,standalone_crate
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
/// # fn main() {}
/// ```
///
/// And so does a plugin that says it is thread-safe and is not:
///
/// ```compile_fail,standalone_crate
/// # use bulkhead_plugin::{Context, Error, NoOptions, Plugin, Request, export_plugin};
/// struct P(std::cell::Cell<u8>);
/// # impl Plugin for P {
/// #     type Settings = ();
/// #     type Options = NoOptions;
/// #     type Output = NoOutput;
/// #     fn new(_: ()) -> Result<Self, Error> { Ok(Self(0.into())) }
/// #     fn run(&self, _: &Request, _: NoOptions, _: &Context) -> Result<NoOutput, Error> { Ok(NoOutput {}) }
/// # }
/// # #[derive(serde::Serialize, schemars::JsonSchema)]
/// # struct NoOutput {}
/// export_plugin! { P, name: "p", accepts: ["image/*"], summary: "…", thread_safe: true }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_plugin {
    (
        $plugin:ty,
        name: $name:expr,
        accepts: [$($mime_type:expr),+ $(,)?],
        $($rest:tt)+
    ) => {
        $crate::export_plugin! { $plugin, name: $name, accepts: &[$($mime_type),+], $($rest)+ }
    };
    (
        $plugin:ty,
        name: $name:expr,
        accepts: $accepts:expr,
        summary: $summary:expr
        $(, thread_safe: $thread_safe:tt)? $(,)?
    ) => {
        const _: () = {
            struct Exported;

            impl $crate::abi::Export for Exported {
                type Plugin = $plugin;
                type Sharing = $crate::__sharing!($($thread_safe)?);
                const DECLARATION: $crate::abi::Declaration = $crate::abi::Declaration {
                    name: $name,
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    accepts: $accepts,
                    summary: $summary,
                };
                const PANIC_UNWINDS: bool = ::core::cfg!(panic = "unwind");
            }

            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__bhmeta"))]
            #[cfg_attr(windows, unsafe(link_section = ".bhmeta"))]
            #[cfg_attr(
                not(any(target_vendor = "apple", windows)),
                unsafe(link_section = ".note.bulkhead")
            )]
            static NOTE: $crate::abi::Note<{ $crate::abi::note_len::<Exported>() }> =
                $crate::abi::Note::of::<Exported>();

            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static HEADER: $crate::abi::Header = $crate::abi::header::<Exported>();
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __sharing {
    ($(false)?) => {
        $crate::abi::Exclusive
    };
    (true) => {
        $crate::abi::Shared
    };
}

/// A plugin and what [`export_plugin!`](crate::export_plugin) says of it.
pub trait Export: 'static {
    /// The plugin's type.
    type Plugin: Plugin;
    /// How many calls an instance may run at a time.
    type Sharing: Sharing<Self::Plugin>;
    /// What stands in the note.
    const DECLARATION: Declaration;
    /// Whether the library was built with unwinding panics.
    const PANIC_UNWINDS: bool;
}

/// How many calls an instance of `P` may run at a time. A type and not a `bool`, so that nothing can
/// be said that `P` does not keep: hosts share an instance between threads on the strength of it.
pub trait Sharing<P>: sealed::Sealed {
    /// Whether it is several.
    const THREAD_SAFE: bool;
}

/// One call at a time: any plugin.
pub struct Exclusive;

/// Several calls at a time: a plugin that is `Sync`.
pub struct Shared;

impl<P> Sharing<P> for Exclusive {
    const THREAD_SAFE: bool = false;
}

impl<P: Sync> Sharing<P> for Shared {
    const THREAD_SAFE: bool = true;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Exclusive {}
    impl Sealed for super::Shared {}
}

/// Whether `E` says that one instance may run several calls at a time.
pub const fn thread_safe<E: Export>() -> bool {
    <E::Sharing as Sharing<E::Plugin>>::THREAD_SAFE
}

/// What an author declares.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The plugin's name.
    pub name: &'static str,
    /// The version of its crate.
    pub version: &'static str,
    /// The MIME types that it takes.
    pub accepts: &'static [&'static str],
    /// What it does, in a line.
    pub summary: &'static str,
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
