//! From the header that a library exports to its module, if the two sides agree on every type.
//!
//! Either side may be the newer within a revision: an appended field that one side lacks is `None`
//! for the other. `abi_stable` itself lets only the plugin be newer, so the check runs both ways.

use std::fmt;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{AbiInstabilityErrors, check_layout_compatibility};
use abi_stable::library::{AbiHeaderRef, LibHeader, ROOT_MODULE_LOADER_NAME_WITH_NUL};
use abi_stable::sabi_types::RRef;
use abi_stable::type_layout::TLFieldOrFunction;

use super::host::Module;
use super::types::PluginModuleRef;

/// The symbol of the header, NUL-terminated.
pub const HEADER_SYMBOL: &str = ROOT_MODULE_LOADER_NAME_WITH_NUL;

/// The most that is told of a layout that differs, in bytes.
const MAX_DETAIL: usize = 600;

/// Why a library gives no module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It was built with another `abi_stable`, or is no such library.
    Header(String),
    /// A type has another layout there.
    Layout(String),
    /// Its own constructor failed.
    Constructor(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(detail) | Self::Layout(detail) | Self::Constructor(detail) => {
                f.write_str(detail)
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl Module {
    /// The module of the library whose [`HEADER_SYMBOL`] is at `header`.
    ///
    /// # Safety
    /// `header` must be the address of that symbol in a library that is never unloaded, and the
    /// library must be one that `export_plugin!` or its like has made: what lies there is believed
    /// as far as it says how it is laid out.
    ///
    /// # Errors
    /// When the two sides disagree; names the type and the field.
    pub unsafe fn load(header: *const ()) -> Result<Self, LoadError> {
        // SAFETY: `AbiHeaderRef` is a transparent reference to what the caller vouches for.
        let header: AbiHeaderRef =
            unsafe { std::mem::transmute::<RRef<'static, ()>, _>(RRef::from_raw(header)) };
        if !header.is_valid() {
            let (major, minor) = (header.abi_major, header.abi_minor);
            return Err(LoadError::Header(format!(
                "its abi_stable is {major}.{minor}, not 0.11"
            )));
        }
        let header = header
            .upgrade()
            .map_err(|error| LoadError::Header(brief(&error)))?;
        check_layout(header)?;
        // SAFETY: the layout has just been checked, in one direction or the other; a field that a
        // side lacks is guarded by the prefix type's own count of fields.
        let root = unsafe { header.unchecked_layout::<PluginModuleRef>() };
        root.map(Self::new)
            .map_err(|error| LoadError::Constructor(brief(&error)))
    }
}

fn check_layout(header: &'static LibHeader) -> Result<(), LoadError> {
    let none = || LoadError::Layout("it says nothing of its layout".to_owned());
    let plugin = header.layout().ok_or_else(none)?;
    let host = PluginModuleRef::LAYOUT;
    let Err(forward) = check_layout_compatibility(host, plugin) else {
        return Ok(());
    };
    let older = check_layout_compatibility(plugin, host);
    older.map_err(|_| LoadError::Layout(difference(&forward)))
}

/// What differs first, the innermost: `abi_stable`'s whole report has up to 19 KB.
fn difference(report: &AbiInstabilityErrors) -> String {
    let errors = report.errors.iter().filter(|error| !error.errs.is_empty());
    let Some(error) = errors.max_by_key(|error| error.stack_trace.len()) else {
        return brief(report);
    };
    let mut path = error.stack_trace.iter().rev();
    let (part, owner) = (path.next(), path.next());
    let root = report.interface.name();
    let owner = owner.map_or(root, |step| type_name(&step.expected));
    let place = part.map_or(format!("`{root}`"), |step| {
        format!("`{}` of `{owner}`", part_name(&step.expected))
    });
    let words = error.to_string();
    let (_, words) = words.rsplit_once("Error:").unwrap_or_default();
    brief(&format_args!("{place}: {words}"))
}

fn part_name(step: &TLFieldOrFunction) -> &'static str {
    match step {
        TLFieldOrFunction::Field(field) => field.name(),
        TLFieldOrFunction::Function(function) => function.name.as_str(),
    }
}

fn type_name(step: &TLFieldOrFunction) -> &'static str {
    match step {
        TLFieldOrFunction::Field(field) => field.layout().name(),
        TLFieldOrFunction::Function(function) => function.name.as_str(),
    }
}

/// A text of `abi_stable`'s in one line of a bounded length.
fn brief(text: &dyn fmt::Display) -> String {
    let text = text.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = lines.collect::<Vec<_>>().join(" ");
    line.truncate(line.floor_char_boundary(MAX_DETAIL));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    mod ours {
        use super::*;

        #[repr(C)]
        #[derive(StableAbi)]
        pub(super) struct Whole {
            first: u8,
            part: Part,
            call: extern "C" fn(Part) -> u8,
        }

        #[repr(C)]
        #[derive(StableAbi)]
        pub(super) struct Part {
            fine: u8,
            flag: bool,
        }
    }

    mod theirs {
        use super::*;

        #[repr(C)]
        #[derive(StableAbi)]
        pub(super) struct Whole {
            first: u8,
            part: Part,
            call: extern "C" fn(Part) -> u8,
        }

        #[repr(C)]
        #[derive(StableAbi)]
        pub(super) struct Part {
            fine: u8,
            flag: u32,
        }
    }

    #[test]
    fn ab_03_a_difference_is_told_by_the_field_and_its_type() {
        let report = check_layout_compatibility(ours::Whole::LAYOUT, theirs::Whole::LAYOUT);
        let report = report.unwrap_err();
        assert!(report.to_string().len() > 5 * MAX_DETAIL);
        assert_eq!(
            difference(&report),
            "`flag` of `Part`: mismatched type Expected: bool Found: u32"
        );
    }

    #[test]
    fn a_text_is_cut_at_its_end() {
        let long = brief(&format_args!("a\n\n  b {}", "é".repeat(MAX_DETAIL)));
        assert!(long.starts_with("a b é"), "{long}");
        assert!(long.len() <= MAX_DETAIL);
    }
}
