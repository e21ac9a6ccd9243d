//! Names the raw addresses of a backtrace from the staged file. Nothing of it runs in a plugin.

use std::fmt::Write;
use std::path::Path;

use addr2line::Loader;

/// The names of `addresses` (innermost first) that lie in the library at `path`, which is mapped
/// at `base`; one frame a line. Addresses elsewhere, in the host or the system, are left out.
/// Where nothing can be named, the addresses themselves.
pub fn symbolize(path: &Path, base: Option<u64>, addresses: &[u64]) -> String {
    let (Some(base), Ok(loader)) = (base, Loader::new(path)) else { return raw(addresses) };
    let mut text = String::new();
    for address in addresses.iter().filter_map(|address| address.checked_sub(base)) {
        // A return address is behind its call.
        name(&loader, address.saturating_sub(1), &mut text);
    }
    text
}

fn name(loader: &Loader, address: u64, text: &mut String) {
    let mut named = false;
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let Some(function) = frame.function else { continue };
            let function = function.demangle().map_or_else(|_| "?".into(), |name| name.into_owned());
            let place = frame.location.and_then(|place| Some((place.file?, place.line?)));
            let _ = match place {
                Some((file, line)) => writeln!(text, "{function} at {}:{line}", tidy_path(file)),
                None => writeln!(text, "{function}"),
            };
            named = true;
        }
    }
    if !named && let Some(symbol) = loader.find_symbol(address) {
        let _ = writeln!(text, "{}", addr2line::demangle_auto(symbol.into(), None));
    }
}

fn raw(addresses: &[u64]) -> String {
    addresses.iter().map(|address| format!("{address:#x}\n")).collect()
}

/// A source path as it helps an author, without the folders of the machine that built it: from the
/// crate's own folder on for a dependency, as it is for a relative path.
pub fn tidy_path(path: &str) -> &str {
    let is_absolute = path.starts_with('/') || path.as_bytes().get(1) == Some(&b':');
    if !is_absolute {
        return path;
    }
    let start = path.rfind("/src/").map_or(0, |src| path[..src].rfind('/').map_or(0, |at| at + 1));
    if start == 0 { path.rsplit('/').next().unwrap_or(path) } else { &path[start..] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_nothing_of_the_machine() {
        let registry = "/home/ann/.cargo/registry/src/index-1949/png-0.18.0/src/decoder.rs";
        assert_eq!(tidy_path(registry), "png-0.18.0/src/decoder.rs");
        assert_eq!(tidy_path("/home/ann/palette/src/lib.rs:3:4"), "palette/src/lib.rs:3:4");
        assert_eq!(tidy_path("plugins/qr/src/lib.rs"), "plugins/qr/src/lib.rs");
        assert_eq!(tidy_path("/rustc/abc/library/core/src/option.rs"), "core/src/option.rs");
        assert_eq!(tidy_path("/odd"), "odd");
    }

    #[test]
    fn an_unreadable_file_leaves_the_addresses() {
        assert_eq!(symbolize(Path::new("/nowhere"), Some(0), &[16]), "0x10\n");
    }
}
