//! The threads of a store, and the ways to them: one that writes, some that read. They end when nobody can ask any
//! more. Knows no job.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, unbounded};
use tokio::sync::watch;

use super::command::{Command, Step, Waiting};
use super::open::Opened;
use super::reader::Reader;
use super::session::{Done, Session};
use super::writer::Writer;
use crate::jobs::store::StoreError;

/// The threads of one store.
pub(super) struct Threads {
    writer: Crew,
    readers: Crew,
    failed: watch::Receiver<Option<String>>,
    commits: Arc<AtomicU64>,
}

impl Threads {
    /// Begins the threads of a file that is open.
    pub(super) fn start(folder: &Path, opened: Opened) -> io::Result<Self> {
        let (failed, failure) = watch::channel(None);
        let commits = Arc::new(AtomicU64::new(0));
        let mut writer = Crew::default();
        let mut readers = Crew::default();
        let (way, inbox) = unbounded();
        let run = Writer {
            connection: opened.writer,
            folder: folder.to_owned(),
            inbox,
            failed,
            commits: Arc::clone(&commits),
        };
        writer.begin("jobs-writer", way, || run.run())?;
        let (way, inbox) = unbounded();
        for connection in opened.readers {
            let run = Reader {
                connection,
                folder: folder.to_owned(),
                inbox: inbox.clone(),
            };
            readers.begin("jobs-reader", way.clone(), || run.run())?;
        }
        Ok(Self {
            writer,
            readers,
            failed: failure,
            commits,
        })
    }

    /// Has the writer do something, and waits until it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        step: Step,
        work: impl FnMut(&Session<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (command, answer) = Waiting::boxed(step, work);
        self.send(&self.writer, command)?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => {
                // The writer has gone without an answer; it is about to say why.
                self.broken().await;
                Err(self.gone())
            }
        }
    }

    /// Has one of the readers do something.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&Session<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (command, answer) = Waiting::boxed(Step::Other, work);
        self.send(&self.readers, command)?;
        let gone = |_| StoreError::Other("its reader has panicked".to_owned());
        answer.await.map_err(gone)?
    }

    /// Gives the reason when the store is broken, and nothing as long as it is not.
    pub(super) async fn failed(&self) -> String {
        match self.broken().await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// How many transactions were committed.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Lets what was asked for come to its end. The writer is the last: it tidies the log, which nobody may read then.
    pub(super) async fn close(&self) {
        self.readers.end().await;
        self.writer.end().await;
    }

    fn send(&self, crew: &Crew, command: Box<dyn Command>) -> Result<(), StoreError> {
        let way = lock(&crew.way);
        let has_failed = self.failed.borrow().is_some();
        let way = way.as_ref().filter(|_| !has_failed);
        match way.map(|way| way.send(command)) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(self.gone()),
        }
    }

    fn gone(&self) -> StoreError {
        match self.failed.borrow().clone() {
            Some(reason) => StoreError::Broken(reason),
            None => StoreError::Unreachable("it is closed".to_owned()),
        }
    }

    // The reason once there is one; nothing once there will be none.
    async fn broken(&self) -> Option<String> {
        let mut failed = self.failed.clone();
        let reason = failed.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Whoever opens the file next finds nobody in it.
        self.readers.join();
        self.writer.join();
    }
}

/// Threads with the same work.
struct Crew {
    way: Mutex<Option<Sender<Box<dyn Command>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    // Each thread holds one that watches: there is none when all have ended.
    work: watch::Sender<()>,
}

impl Default for Crew {
    fn default() -> Self {
        Self {
            way: Mutex::default(),
            threads: Mutex::default(),
            work: watch::Sender::new(()),
        }
    }
}

impl Crew {
    fn begin(
        &mut self,
        name: &str,
        way: Sender<Box<dyn Command>>,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let at_work = self.work.subscribe();
        let work = move || {
            run();
            drop(at_work);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        lock(&self.threads).push(thread);
        *lock(&self.way) = Some(way);
        Ok(())
    }

    async fn end(&self) {
        drop(lock(&self.way).take());
        self.work.closed().await;
    }

    fn join(&self) {
        drop(lock(&self.way).take());
        for thread in lock(&self.threads).drain(..) {
            // What panics in it was told already.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
