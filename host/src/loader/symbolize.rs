//! Names the raw addresses of a backtrace from the staged file. Nothing of it runs in a plugin.

use std::path::Path;

use addr2line::{Loader, demangle_auto};

/// Functions in which every panic's backtrace begins: the panic machinery, and the hook above it.
const MACHINERY: &[&str] = &["panic_fmt", "begin_panic", "panic_any", "panic_display"];
/// Functions in which every call's backtrace ends: what lies below is the guard and the host.
const GUARD: &str = "bulkhead_plugin::abi::guard";

/// The names of `addresses` (innermost first) that lie in the library at `path`, which is mapped
/// at `base`; one frame a line, from the code that panicked to the plugin's entry. Addresses in the
/// host or the system are left out. Where nothing can be named, the addresses themselves.
pub(super) fn symbolize(path: &Path, base: Option<u64>, addresses: &[u64]) -> String {
    let (Some(base), Ok(loader)) = (base, Loader::new(path)) else {
        return raw(addresses);
    };
    let offsets = addresses
        .iter()
        .filter_map(|address| address.checked_sub(base));
    // A return address is behind its call.
    let frames: Vec<_> = offsets
        .flat_map(|offset| frames(&loader, offset.saturating_sub(1)))
        .collect();
    let is_machinery = |frame: &String| MACHINERY.iter().any(|name| frame.contains(name));
    let begin = frames.iter().rposition(is_machinery).map_or(0, |at| at + 1);
    let end = frames
        .iter()
        .position(|frame| frame.contains(GUARD))
        .unwrap_or(frames.len());
    let shown = frames
        .get(begin..end)
        .filter(|shown| !shown.is_empty())
        .unwrap_or(&frames);
    let numbered = shown
        .iter()
        .enumerate()
        .map(|(number, frame)| format!("{number}: {frame}"));
    numbered.collect::<Vec<_>>().join("\n")
}

/// The function at an offset, after those that were inlined into it there.
fn frames(loader: &Loader, offset: u64) -> Vec<String> {
    let symbol = loader
        .find_symbol(offset)
        .map(|name| demangle_auto(name.into(), None).into_owned());
    let mut named = Vec::new();
    if let Ok(mut frames) = loader.find_frames(offset) {
        while let Ok(Some(frame)) = frames.next() {
            let function = frame
                .function
                .and_then(|name| Some(name.demangle().ok()?.into_owned()));
            // Line tables alone name no functions, but the symbol table does.
            let Some(function) = function.or_else(|| symbol.clone()) else {
                continue;
            };
            let place = frame
                .location
                .and_then(|place| Some((place.file?, place.line?)));
            named.push(match place {
                Some((file, line)) => format!("{function} at {}:{line}", tidy_path(file)),
                None => function,
            });
        }
    }
    if named.is_empty() {
        symbol.into_iter().collect()
    } else {
        named
    }
}

fn raw(addresses: &[u64]) -> String {
    addresses
        .iter()
        .map(|address| format!("{address:#x}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A source path as it helps an author, without the folders of the machine that built it: from the
/// crate's own folder on for a dependency, as it is for a relative path.
pub fn tidy_path(path: &str) -> &str {
    let is_absolute = path.starts_with('/') || path.as_bytes().get(1) == Some(&b':');
    if !is_absolute {
        return path;
    }
    let start = path
        .rfind("/src/")
        .map_or(0, |src| path[..src].rfind('/').map_or(0, |at| at + 1));
    if start == 0 {
        path.rsplit('/').next().unwrap_or(path)
    } else {
        &path[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_nothing_of_the_machine() {
        let registry = "/home/ann/.cargo/registry/src/index-1949/png-0.18.0/src/decoder.rs";
        assert_eq!(tidy_path(registry), "png-0.18.0/src/decoder.rs");
        assert_eq!(
            tidy_path("/home/ann/palette/src/lib.rs:3:4"),
            "palette/src/lib.rs:3:4"
        );
        assert_eq!(tidy_path("plugins/qr/src/lib.rs"), "plugins/qr/src/lib.rs");
        assert_eq!(
            tidy_path("/rustc/abc/library/core/src/option.rs"),
            "core/src/option.rs"
        );
        assert_eq!(tidy_path("/odd"), "odd");
    }

    #[test]
    fn an_unreadable_file_leaves_the_addresses() {
        assert_eq!(symbolize(Path::new("/nowhere"), Some(0), &[16]), "0x10");
    }
}
