//! What a process tells of its own death: the handler writes it into a page that the host shares,
//! the host reads it. Owns the page's layout and the signals' names; knows no worker, no frame and
//! no plugin.

#[cfg(unix)]
mod alternate;
#[cfg(unix)]
mod handler;
#[cfg(unix)]
mod registers;
mod report;
mod signals;
#[cfg(unix)]
mod trace;

#[cfg(test)]
#[cfg(unix)]
mod tests;

#[cfg(unix)]
pub use alternate::{Guarded, guard_thread};
#[cfg(unix)]
pub use handler::install;
pub use report::{CrashReport, parse};
pub use signals::signal_name;
