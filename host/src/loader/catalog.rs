//! What a folder of plugins holds over time: which of its files are good, which were, and which of them has a
//! plugin's name. Opens a file again only when its state has changed, and cares nothing for when it is asked.

use std::collections::btree_map::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use super::rejection::{Refused, Rejection};
use super::scan::{Scan, ScanError, trusted};
use super::staging::{Staged, StagingArea, is_plugin_name};
use crate::names::{Digest, PluginName};

/// The files of one folder, each with the state (a `K`) that it was looked at in and what came of it.
#[derive(Debug)]
pub struct Catalog<K> {
    area: Arc<StagingArea>,
    // In the order in which files claim plugins' names.
    files: BTreeMap<OsString, Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    state: K,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Good(Arc<Staged>),
    Held { good: Arc<Staged>, why: Refused },
    Refused(Refused),
}

impl<K: Eq> Catalog<K> {
    /// An empty catalog, whose private copies are in `area`.
    pub fn new(area: Arc<StagingArea>) -> Self {
        Self {
            area,
            files: BTreeMap::new(),
        }
    }

    /// Takes in what `folder` holds now: all its files by name, each with its state. Names that plugins do not have
    /// are passed over. A file whose state is known is not opened again, unless what it was refused for may have
    /// passed; one that was good and is not any more is held at what it was. It is always the same folder: what
    /// another holds is for another catalog.
    ///
    /// # Errors
    /// [`ScanError`] when the folder itself cannot be used, and then nothing changes here; a bad file in it is part
    /// of the answer.
    pub fn update(
        &mut self,
        folder: &Path,
        files: impl IntoIterator<Item = (OsString, K)>,
    ) -> Result<Scan, ScanError> {
        let real = trusted(folder)?;
        Ok(self.take(&real, files))
    }

    /// Removes every private copy but those that files here are good for and those of `others`. Copies of files that
    /// lost their name to another stay too: they may be next.
    pub fn tidy(&self, others: impl IntoIterator<Item = Digest>) {
        let ours = self.files.values().filter_map(|it| it.content.good());
        let ours = ours.map(|staged| staged.digest);
        self.area.keep_only(&ours.chain(others).collect());
    }

    /// As [`update`](Self::update), of a folder that is trusted.
    pub(super) fn take(
        &mut self,
        folder: &Path,
        files: impl IntoIterator<Item = (OsString, K)>,
    ) -> Scan {
        let files = files.into_iter().filter(|(name, _)| is_plugin_name(name));
        let files: BTreeMap<_, _> = files.collect();
        self.files.retain(|name, _| files.contains_key(name));
        // One after the other: over a thousand files on two busy cores, a second thread made no difference.
        for (name, state) in files {
            self.look(folder, name, state);
        }
        self.scan()
    }

    fn look(&mut self, folder: &Path, name: OsString, state: K) {
        let known = self.files.get(&name);
        if known.is_some_and(|known| known.state == state && known.content.is_settled()) {
            return;
        }
        let good = known.and_then(|known| known.content.good()).cloned();
        let content = Content::of(self.area.stage(&folder.join(&name)), good);
        self.files.insert(name, Known { state, content });
    }

    fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        let mut winners = HashMap::new();
        for Known { content, .. } in self.files.values() {
            content.enter(&mut scan, &mut winners);
        }
        scan
    }
}

impl Content {
    fn of(outcome: Result<Staged, Refused>, good: Option<Arc<Staged>>) -> Self {
        match (outcome, good) {
            (Ok(staged), _) => Self::Good(Arc::new(staged)),
            (Err(why), Some(good)) => Self::Held { good, why },
            (Err(why), None) => Self::Refused(why),
        }
    }

    /// Whether a look at a file in the same state would find the same again.
    fn is_settled(&self) -> bool {
        match self {
            // Whoever can write to the host's state can also take a copy away.
            Self::Good(staged) => staged.path.exists(),
            Self::Held { why, .. } | Self::Refused(why) => !why.rejection.is_passing(),
        }
    }

    fn good(&self) -> Option<&Arc<Staged>> {
        match self {
            Self::Good(good) | Self::Held { good, .. } => Some(good),
            Self::Refused(_) => None,
        }
    }

    /// Puts the file where it belongs, after all that come before it.
    fn enter<'a>(&'a self, scan: &mut Scan, winners: &mut HashMap<&'a PluginName, &'a str>) {
        scan.retry |= !self.is_settled();
        match self {
            Self::Good(staged) => match first_of_its_name(staged, winners) {
                Ok(()) => scan.staged.push(Arc::clone(staged)),
                Err(duplicate) => scan.refused.push(duplicate),
            },
            Self::Held { good, why } => match first_of_its_name(good, winners) {
                Ok(()) => {
                    scan.staged.push(Arc::clone(good));
                    scan.held.push(why.clone());
                }
                // Nothing of it is served: what ails the file itself comes first.
                Err(_) => scan.refused.push(why.clone()),
            },
            Self::Refused(why) => scan.refused.push(why.clone()),
        }
    }
}

fn first_of_its_name<'a>(
    staged: &'a Staged,
    winners: &mut HashMap<&'a PluginName, &'a str>,
) -> Result<(), Refused> {
    match winners.entry(&staged.manifest.name) {
        Entry::Vacant(vacant) => {
            vacant.insert(&staged.file_name);
            Ok(())
        }
        Entry::Occupied(winner) => Err(Refused {
            file: staged.file_name.clone(),
            plugin: Some(staged.manifest.name.clone()),
            rejection: Rejection::DuplicateName {
                winner: (*winner.get()).to_owned(),
            },
        }),
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
