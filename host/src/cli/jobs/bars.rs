//! How far the work has come, on stderr, where people see it; nothing where it is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::print;

/// A bar, and what is printed around it.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// One that counts to `total`.
    pub(super) fn new(total: usize, what: &'static str) -> Self {
        let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
        let style = "{prefix} {wide_bar} {pos}/{len}{msg}, {eta} left";
        let style = ProgressStyle::with_template(style).expect("the template is a constant");
        let bar = bar.with_style(style).with_prefix(what);
        // Drawn at once: the first picture may take long.
        bar.tick();
        Self(bar)
    }

    /// So many more are done.
    pub(super) fn advance(&self, by: usize) {
        self.0.inc(u64::try_from(by).unwrap_or(u64::MAX));
    }

    /// So many have not gone well.
    pub(super) fn failed(&self, failed: usize) {
        if failed > 0 {
            self.0.set_message(format!(" ({failed} failed)"));
        }
    }

    /// How much is done of what is not yet whole, 0 to 1, where there is but one.
    pub(super) fn share(&self, share: f64) {
        self.0.set_message(format!(" ({:.0} %)", share * 100.0));
    }

    /// Whether people see it.
    pub(super) fn is_seen(&self) -> bool {
        !self.0.is_hidden()
    }

    /// A line on stdout.
    pub(super) fn line(&self, text: &str) {
        self.0.suspend(|| print::line(text));
    }

    /// A line on stderr.
    pub(super) fn note(&self, text: &str) {
        self.0.suspend(|| print::error(text));
    }

    /// How often one who is seen looks for news.
    pub(super) fn pace(&self, unseen: Duration) -> Duration {
        if self.is_seen() {
            Duration::from_secs(1)
        } else {
            unseen
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
