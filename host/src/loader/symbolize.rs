//! Names the raw addresses of a backtrace from the staged file. Nothing of it runs in a plugin.
//!
//! A frame is a function of the symbol table: what was inlined into it is not shown on its own, but
//! its place is, because the line programs have it.

mod image;
mod lines;

use std::fmt;
use std::path::Path;

use addr2line::demangle_auto;

use self::image::{Image, MAX_ADDRESSES};

/// Functions in which every panic's backtrace begins: the panic machinery, and the hook above it.
const MACHINERY: &[&str] = &["panic_fmt", "begin_panic", "panic_any", "panic_display"];
/// Functions in which every call's backtrace ends: what lies below is the guard and the host.
const GUARD: &str = "bulkhead_plugin::abi::guard";
/// Where the standard library's functions begin, behind the `<` of a trait's.
const RUNTIME: &[&str] = &["std::", "core::", "alloc::", "rust_", "__rust", "_rust"];
/// The longest name of a function, in characters.
const MAX_NAME: usize = 512;

/// A death's place, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The plugin's innermost function, but those of the standard library.
    pub function: Option<String>,
    /// One frame a line, innermost first.
    pub text: String,
}

/// The names of `addresses` (innermost first) that lie in the library at `path`, which is mapped
/// at `base`; one frame a line, from the code that panicked to the plugin's entry. Addresses in the
/// host or the system are left out. Where nothing can be named, the addresses themselves.
pub(super) fn symbolize(path: &Path, base: Option<u64>, addresses: &[u64]) -> String {
    let probes: Vec<u64> = addresses.iter().copied().map(call_before).collect();
    let Some(image) = Image::read(path, base, &probes) else {
        return raw(addresses);
    };
    let frames = frames(&image, &probes);
    let is_machinery = |frame: &Frame| frame.is_one_of(MACHINERY);
    let begin = frames.iter().rposition(is_machinery).map_or(0, |at| at + 1);
    lines(up_to_guard(&frames, begin))
}

/// The names of what died at `ip`, whose callers are in `backtrace` (innermost first, `ip` itself
/// may come before them). The same rules as for a panic.
pub(super) fn name_crash(path: &Path, base: Option<u64>, ip: u64, backtrace: &[u64]) -> Named {
    let callers = backtrace.strip_prefix(&[ip]).unwrap_or(backtrace);
    let mut probes = vec![ip];
    probes.extend(callers.iter().copied().map(call_before));
    let Some(image) = Image::read(path, base, &probes) else {
        return Named {
            function: None,
            text: raw(&[&[ip], callers].concat()),
        };
    };
    let outside = !image.contains(ip);
    let frames = frames(&image, &probes);
    let shown = up_to_guard(&frames, end_of_panic(&frames));
    let function = shown.iter().find(|frame| !frame.is_runtime);
    let function = function.or(shown.first()).map(|it| it.function.clone());
    let text = match &function {
        Some(function) if outside => format!(
            "in code outside the plugin, called from {function}\n{}",
            lines(shown)
        ),
        None if outside => "in code outside the plugin".to_owned(),
        Some(_) => lines(shown),
        None => raw(&[&[ip], callers].concat()),
    };
    Named { function, text }
}

/// Where the frames of a panic end that ended the process, if it was one. A panic further out is
/// another story: code can fault while it unwinds.
fn end_of_panic(frames: &[Frame]) -> usize {
    let runtime = frames.iter().take_while(|frame| frame.is_runtime);
    let machinery = runtime.enumerate().filter(|it| it.1.is_one_of(MACHINERY));
    machinery.last().map_or(0, |(at, _)| at + 1)
}

/// The frames from `begin` to the plugin's entry, or all of them if there are none.
fn up_to_guard(frames: &[Frame], begin: usize) -> &[Frame] {
    let guard = frames.iter().position(|frame| frame.is_one_of(&[GUARD]));
    frames
        .get(begin..guard.unwrap_or(frames.len()))
        .filter(|shown| !shown.is_empty())
        .unwrap_or(frames)
}

fn lines(frames: &[Frame]) -> String {
    let numbered = frames.iter().enumerate();
    let lines = numbered.map(|(number, frame)| format!("{number}: {frame}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn raw(addresses: &[u64]) -> String {
    let lines = addresses.iter().map(|address| format!("{address:#x}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A function that was running, and the place in its source where it was.
struct Frame {
    function: String,
    place: Option<String>,
    /// Whether it is the standard library's, which no author looks for.
    is_runtime: bool,
}

impl Frame {
    /// The place does not tell whose function it is: the standard library's is often inlined.
    fn new(function: String, place: Option<(&str, u32)>) -> Self {
        let name = function.trim_start_matches('<');
        let is_runtime = RUNTIME.iter().any(|start| name.starts_with(start));
        let place = place.map(|(file, line)| format!("{}:{line}", printable(tidy_path(file))));
        Self {
            function,
            place,
            is_runtime,
        }
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.function.contains(name))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} at {place}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

/// A return address is behind its call.
fn call_before(address: u64) -> u64 {
    address.saturating_sub(1)
}

/// The functions at these addresses, as far as the library's file names them.
fn frames(image: &Image, addresses: &[u64]) -> Vec<Frame> {
    let frame = |address: &u64| {
        let function = printable(&demangle_auto(image.symbol(*address)?.into(), None));
        let place = image.place(*address).map(|(file, line)| (&**file, *line));
        Some(Frame::new(function, place))
    };
    let named = addresses.iter().filter_map(frame);
    named.take(MAX_ADDRESSES).collect()
}

/// A file may name its functions as it likes.
fn printable(name: &str) -> String {
    let tame = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(MAX_NAME).map(tame).collect()
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
mod tests;
