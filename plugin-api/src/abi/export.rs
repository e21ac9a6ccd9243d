//! What `export_plugin!` puts into an author's library: the note that can be read without running
//! anything, and the root module's header.

use abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleError};
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::prefix_type::{PrefixRef, PrefixRefTrait};
use abi_stable::std_types::RResult;

use super::guard;
use super::types::{PluginModuleRef, REVISION};
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
    /// The note of `E`, whose fields are [`note_len`] bytes long. Stops the build where something is
    /// wrong with them.
    pub const fn of<E: Export>() -> Self {
        E::DECLARATION.check();
        let fields = Fields::of::<E>();
        assert!(fields.len == N, "a note is as long as its fields");
        Self {
            name_len: 9,
            fields_len: N as u32,
            kind: 1,
            name: *b"Bulkhead\0\0\0\0",
            fields: fields.bytes,
        }
    }

    #[cfg(test)]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let head = [self.name_len, self.fields_len, self.kind].map(u32::to_ne_bytes);
        [&head.concat()[..], &self.name, &self.fields].concat()
    }
}

/// How many bytes the fields of `E`'s note have.
pub const fn note_len<E: Export>() -> usize {
    Fields::<0>::of::<E>().len
}

/// `key=value` fields, each ended by NUL, as far as they fit.
struct Fields<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// [`REVISION`] as text.
const REVISION_TEXT: &str = "0";
const _: () =
    assert!(REVISION_TEXT.len() == 1 && REVISION_TEXT.as_bytes()[0] as u32 == 48 + REVISION);

impl<const N: usize> Fields<N> {
    const fn of<E: Export>() -> Self {
        let Declaration {
            name,
            version,
            accepts,
            summary,
        } = E::DECLARATION;
        let thread_safe = if thread_safe::<E>() { "true" } else { "false" };
        let start = Self {
            bytes: [0; N],
            len: 0,
        };
        let mut fields = start
            .field("name", name)
            .field("version", version)
            .field("abi", REVISION_TEXT)
            .field("thread_safe", thread_safe);
        let mut at = 0;
        while at < accepts.len() {
            fields = fields.field("accepts", accepts[at]);
            at += 1;
        }
        fields.field("summary", summary)
    }

    const fn field(self, key: &str, value: &str) -> Self {
        self.text(key).text("=").text(value).text("\0")
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() {
            if self.len < N {
                self.bytes[self.len] = text[at];
            }
            self.len += 1;
            at += 1;
        }
        self
    }
}

impl Declaration {
    /// Stops the build unless a host will take it.
    const fn check(&self) {
        check_name(self.name);
        check_summary(self.summary);
        assert!(
            !self.accepts.is_empty(),
            "a plugin accepts one MIME type at least"
        );
        let mut at = 0;
        while at < self.accepts.len() {
            check_mime_type(self.accepts[at]);
            at += 1;
        }
    }
}

const fn check_name(name: &str) {
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

const fn check_mime_type(mime_type: &str) {
    let bytes = mime_type.as_bytes();
    let mut slashes = 0;
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            bytes[at].is_ascii_graphic() && !bytes[at].is_ascii_uppercase() && bytes[at] != b';',
            "an accepted MIME type is lower case, without spaces or parameters"
        );
        slashes += (bytes[at] == b'/') as usize;
        at += 1;
    }
    assert!(
        slashes == 1 && bytes[0] != b'/' && bytes[bytes.len() - 1] != b'/',
        "an accepted MIME type reads type/subtype, type/* or */*"
    );
}

const fn check_summary(summary: &str) {
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

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[track_caller]
    fn check(
        name: &'static str,
        accepts: &'static [&'static str],
        summary: &'static str,
        expected: &str,
    ) {
        let declaration = Declaration {
            name,
            version: "1.0.0",
            accepts,
            summary,
        };
        let found = catch_unwind(|| declaration.check()).map_or_else(
            |payload| payload.downcast_ref::<&str>().copied().unwrap_or_default(),
            |()| "fine",
        );
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn a_declaration_that_no_host_takes_stops_the_build() {
        check("a-1", &["image/png", "image/*", "*/*"], "…", "fine");
        check("", &["image/*"], "…", "1 to 64 characters");
        check("1a", &["image/*"], "…", "begins with a letter");
        check("a b", &["image/*"], "…", "consists of a-z");
        check("a", &[], "…", "one MIME type at least");
        check("a", &["image"], "…", "reads type/subtype");
        check("a", &["image/"], "…", "reads type/subtype");
        check("a", &["", "image/*"], "…", "reads type/subtype");
        check("a", &["image/PNG"], "…", "is lower case");
        check("a", &["image/png;q=1"], "…", "is lower case");
        check("a", &["image/*"], "", "1 to 1,024 bytes");
        check("a", &["image/*"], "two\nlines", "one line");
    }
}
