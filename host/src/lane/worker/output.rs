//! What a worker's code prints: read as it comes, so that a full pipe holds nobody up, written to the
//! log within bounds, and its last lines kept for the account of a death.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lane::plugin_log::{self, MAX_LINE, Source};
use crate::names::PluginName;
use crate::platform::{Output, Peek};

/// The most bytes that the log takes of one call.
const PER_CALL: usize = 64 << 10;
/// What a line costs besides its text, so that short ones have an end too.
const PER_LINE: usize = 64;
/// The lines that are kept.
const KEPT: usize = 20;
/// The most bytes of a line that is kept.
const KEPT_LINE: usize = 512;

/// How long the end of a dead worker's output may be in coming: a child of its may hold it open.
const END_WITHIN: Duration = Duration::from_millis(200);

/// One worker's output.
#[derive(Debug)]
pub(super) struct Printed {
    peek: Peek,
    has_ended: CancellationToken,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// Whose output it is; nobody's before a plugin was loaded.
    plugin: Option<PluginName>,
    /// The calls that run, by their seats.
    running: Vec<(usize, Source)>,
    partial: Vec<u8>,
    kept: VecDeque<String>,
    written: usize,
    dropped: u64,
}

impl Printed {
    /// Reads `output` to its end, in a task.
    pub(super) fn follow(mut output: Output) -> Arc<Self> {
        let printed = Arc::new(Self {
            peek: output.peek(),
            has_ended: CancellationToken::new(),
            lines: Mutex::default(),
        });
        let reader = Arc::clone(&printed);
        tokio::spawn(async move {
            let _ended = reader.has_ended.clone().drop_guard();
            let mut buffer = vec![0; 16 << 10];
            while let Ok(read) = output.ready(&mut buffer).await {
                match read {
                    Some(0) => break,
                    Some(read) => reader.lock().take(&buffer[..read]),
                    None if !reader.pump(&mut buffer) => break,
                    None => {}
                }
                // Somebody who prints without end must not hold the thread.
                tokio::task::yield_now().await;
            }
        });
        printed
    }

    /// From now on it is this plugin's.
    pub(super) fn belongs_to(&self, plugin: PluginName) {
        self.lock().plugin = Some(plugin);
    }

    pub(super) fn begin(&self, seat: usize, source: Source) {
        let mut lines = self.lock();
        // Each call brings its share, or a worker that is never idle would fall silent.
        lines.written = 0;
        lines.running.push((seat, source));
    }

    /// What was printed until now counts for the call that ends.
    pub(super) fn end(&self, seat: usize) {
        self.read_all();
        let mut lines = self.lock();
        lines.finish_line();
        if lines.dropped > 0 {
            lines.tell_dropped();
        }
        lines.running.retain(|(running, _)| *running != seat);
    }

    /// Waits until what a dead worker has said is read, where that can only be read as it comes.
    pub(super) async fn has_arrived(&self) {
        if self.peek.is_blind() {
            let _ = tokio::time::timeout(END_WITHIN, self.has_ended.cancelled()).await;
        }
    }

    /// The last lines, oldest first.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.read_all();
        let mut lines = self.lock();
        lines.finish_line();
        lines.kept.iter().cloned().collect()
    }

    fn read_all(&self) {
        let mut buffer = [0; 4 << 10];
        // Bounded: threads of the plugin may print on for ever.
        for _ in 0..32 {
            let mut lines = self.lock();
            match self.peek.read_now(&mut buffer) {
                Ok(read @ 1..) => lines.take(&buffer[..read]),
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Reads what is there. False once there will be no more.
    fn pump(&self, buffer: &mut [u8]) -> bool {
        // Under the lock, so that what is read first is taken first.
        let mut lines = self.lock();
        match self.peek.try_read(buffer) {
            Ok(0) => false,
            Ok(read) => {
                lines.take(&buffer[..read]);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let room = MAX_LINE.saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(&text[..text.len().min(room)]);
            self.dropped += text.len().saturating_sub(room) as u64;
            if ends {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        if self.partial.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        let cost = line.len() + PER_LINE;
        if self.written + cost > PER_CALL {
            self.dropped += line.len() as u64;
        } else {
            self.written += cost;
            self.write(&line);
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept
            .push_back(line[..line.floor_char_boundary(KEPT_LINE)].to_owned());
    }

    fn write(&self, line: &str) {
        if let Some(plugin) = &self.plugin {
            plugin_log::printed(self.source(), plugin, line);
        }
    }

    fn tell_dropped(&mut self) {
        if let Some(plugin) = &self.plugin {
            plugin_log::dropped(self.source(), plugin, self.dropped);
        }
        self.dropped = 0;
    }

    /// Whose it is, where only one call can have printed it.
    fn source(&self) -> Option<&Source> {
        match &self.running[..] {
            [(_, source)] => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> Lines {
        let mut lines = Lines::default();
        for part in parts {
            lines.take(part);
        }
        lines
    }

    #[test]
    fn lines_are_put_together_from_whatever_comes() {
        let mut lines = lines(&[b"on", b"e\ntw", b"o\n\nthr\xffee"]);
        assert_eq!(lines.kept, ["one", "two"]);
        lines.finish_line();
        assert_eq!(lines.kept, ["one", "two", "thr\u{fffd}ee"]);
    }

    #[test]
    fn rn_08_what_is_too_much_is_counted() {
        let mut lines = lines(&[&vec![b'x'; 10 * MAX_LINE], b"\n"]);
        assert_eq!(lines.dropped as usize, 9 * MAX_LINE);
        for _ in 0..1000 {
            lines.take(&[b'y'; 999]);
            lines.take(b"\n");
        }
        assert!(lines.written <= PER_CALL);
        assert_eq!(lines.kept.len(), KEPT);
        assert!(lines.kept.iter().all(|line| line.len() <= KEPT_LINE));
        let printed = 10 * MAX_LINE + 999_000;
        assert!(lines.dropped as usize > printed - PER_CALL);
    }
}
