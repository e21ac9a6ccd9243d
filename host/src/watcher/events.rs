//! What the system says of a folder. An event means only "look again": what happened is never believed, and events
//! that are lost cost time, nothing else.

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::IsCandidate;
use super::look::Identity;

/// The events of the folder that stands at a place, also when another one comes there.
#[derive(Debug)]
pub(super) struct Events {
    place: Place,
    bell: Arc<Notify>,
    armed: Option<Armed>,
    trouble: Option<String>,
}

#[derive(Clone, Debug)]
struct Place {
    folder: PathBuf,
    is_candidate: IsCandidate,
}

#[derive(Debug)]
struct Armed {
    identity: Identity,
    is_lost: Arc<AtomicBool>,
    watcher: Option<RecommendedWatcher>,
}

impl Events {
    /// Rings `bell` when it is worth a look, once [`follow`](Self::follow) has found the folder.
    pub(super) fn new(folder: &Path, is_candidate: IsCandidate, bell: Arc<Notify>) -> Self {
        // Events name files by the whole path.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self {
            place: Place {
                folder,
                is_candidate,
            },
            bell,
            armed: None,
            trouble: None,
        }
    }

    /// Listens to the folder that is there now. To be called before the look: what comes after is announced. May block.
    pub(super) fn follow(&mut self, identity: Option<Identity>) {
        let holds = |armed: &Armed| Some(armed.identity) == identity && !armed.is_lost();
        if self.armed.as_ref().is_some_and(holds) {
            return;
        }
        self.armed = None;
        let armed = identity.map(|identity| self.arm(identity)).transpose();
        self.trouble = armed.as_ref().err().cloned();
        self.armed = armed.unwrap_or_default();
    }

    /// Asks for another look, as an event does.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Why there are no events, where it is not for want of a folder.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn arm(&self, identity: Identity) -> Result<Armed, String> {
        let is_lost = Arc::new(AtomicBool::new(false));
        let (place, bell, lost) = (
            self.place.clone(),
            Arc::clone(&self.bell),
            Arc::clone(&is_lost),
        );
        let watcher = notify::recommended_watcher(move |event| {
            if place.loses(&event) {
                lost.store(true, Ordering::Release);
            }
            if place.matters(&event) {
                bell.notify_one();
            }
        });
        let mut watcher = watcher.map_err(|error| error.to_string())?;
        let folder = &self.place.folder;
        // It panics where its thread could not be started.
        let watched = catch_unwind(AssertUnwindSafe(|| {
            watcher.watch(folder, RecursiveMode::NonRecursive)
        }));
        let watcher = Some(watcher);
        let armed = Armed {
            identity,
            is_lost,
            watcher,
        };
        match watched {
            Ok(Ok(())) => Ok(armed),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("there is no thread for it".to_owned()),
        }
    }
}

impl Armed {
    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let watcher = self.watcher.take();
        // It panics where its thread could not be started.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
    }
}

impl Place {
    /// Whether an event is a reason to look. Access is none: our own reads would be.
    fn matters(&self, event: &notify::Result<Event>) -> bool {
        let Ok(event) = event else {
            return true;
        };
        match event.kind {
            EventKind::Access(_) => false,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
                event.paths.iter().any(|path| self.is_own(path))
            }
            // Of foreign names it matters that they came and went: a link may lead over one.
            _ => true,
        }
    }

    fn is_own(&self, path: &Path) -> bool {
        path == self.folder || (self.is_candidate)(path.file_name().unwrap_or(OsStr::new("")))
    }

    /// Whether the folder itself was removed: another may come there that has its number.
    fn loses(&self, event: &notify::Result<Event>) -> bool {
        let is_removal = |event: &Event| matches!(event.kind, EventKind::Remove(_));
        let is_folder = |event: &Event| event.paths.contains(&self.folder);
        event
            .as_ref()
            .is_ok_and(|it| is_removal(it) && is_folder(it))
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{
        AccessKind, AccessMode, CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode,
    };

    use super::*;

    fn place() -> Place {
        Place {
            folder: PathBuf::from("/folder"),
            is_candidate: |name| name == "x.so",
        }
    }

    #[test]
    fn an_event_matters_when_a_candidate_may_be_another() {
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let metadata = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let created = EventKind::Create(CreateKind::File);
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Read));
        for (kind, path, expected) in [
            (data, "/folder/x.so", true),
            (data, "/folder/y.txt", false),
            (metadata, "/folder/x.so", true),
            (metadata, "/folder/y.txt", false),
            (metadata, "/folder", true),
            (renamed, "/folder/..data", true),
            (created, "/folder/x.so", true),
            (created, "/folder/y.txt", true),
            (opened, "/folder/x.so", false),
            (closed, "/folder/x.so", false),
        ] {
            let event = Ok(Event::new(kind).add_path(path.into()));
            assert_eq!(place().matters(&event), expected, "{kind:?} {path}");
        }
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(place().matters(&Ok(overflow)));
        assert!(place().matters(&Err(notify::Error::generic("lost"))));
    }

    #[test]
    fn the_folder_is_lost_when_it_is_removed_itself() {
        let loses = |path: &str| {
            let kind = EventKind::Remove(RemoveKind::Folder);
            place().loses(&Ok(Event::new(kind).add_path(path.into())))
        };
        assert!(loses("/folder"));
        assert!(!loses("/folder/x.so"));
    }
}
