use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::loader::samples::{self, chmod, good, named, opened_during, write};
use crate::loader::scan;

#[test]
fn a_file_is_opened_once_for_every_state_of_it() {
    let mut folder = Folder::new();
    let opened = |folder: &mut Folder, expected: &[&str]| {
        let path = folder.path.clone();
        let names = opened_during(&path, || drop(folder.update()));
        assert_eq!(names, expected.iter().map(ToString::to_string).collect());
    };
    folder.put("a.so", good());
    folder.put("b.so", &named("sample-0001"));
    folder.put("c.so", b"hello");
    folder.put("d.so", good());
    opened(&mut folder, &["a.so", "b.so", "c.so", "d.so"]);
    opened(&mut folder, &[]);
    folder.touch("b.so");
    folder.touch("c.so");
    opened(&mut folder, &["b.so", "c.so"]);
    folder.remove("a.so");
    opened(&mut folder, &[]);
    folder.put("a.so", good());
    opened(&mut folder, &["a.so"]);
    folder.put("a.so", b"hello");
    opened(&mut folder, &["a.so"]);
    opened(&mut folder, &[]);
    folder.check("a.so sample-0000 held: not_a_library\nb.so sample-0001\nc.so: not_a_library\nd.so: duplicate_name");
}

#[test]
fn fd_15_foreign_names_are_passed_over() {
    let mut folder = Folder::new();
    for name in [".x.so", "x.so.tmp", "x.so~", "X.SO", "libx.so.1.2", "x"] {
        folder.put(name, good());
    }
    let path = folder.path.clone();
    let opened = opened_during(&path, || drop(folder.check("")));
    assert_eq!(opened, BTreeSet::new());
}

#[test]
fn fd_03_a_truncated_file_is_held_at_its_last_good_content() {
    let mut folder = Folder::new();
    folder.put("p.so", good());
    let good_one = Arc::clone(&folder.check("p.so sample-0000").staged[0]);
    for bytes in [&[][..], &good()[..good().len() - 1], &good()[..4096]] {
        folder.put("p.so", bytes);
        for _ in 0..3 {
            let scan = folder.check("p.so sample-0000 held: truncated");
            assert!(Arc::ptr_eq(&scan.staged[0], &good_one));
            assert!(!scan.retry);
            assert_eq!(fs::read(&good_one.path).unwrap(), good());
        }
    }
    folder.put("p.so", good());
    folder.check("p.so sample-0000");
    folder.put("p.so", b"hello");
    folder.check("p.so sample-0000 held: not_a_library");
    folder.remove("p.so");
    folder.check("");
    folder.put("p.so", b"hello");
    folder.check("p.so: not_a_library");
}

#[test]
fn a_file_is_what_it_holds_now() {
    let mut folder = Folder::new();
    folder.put("p.so", &named("sample-000a"));
    folder.check("p.so sample-000a");
    folder.put("p.so", &named("sample-000b"));
    folder.check("p.so sample-000b");
    folder.put("p.so", b"hello");
    folder.check("p.so sample-000b held: not_a_library");
    folder.put("p.so", &named("sample-000c"));
    folder.check("p.so sample-000c");
}

#[test]
fn fd_13_what_is_no_file_is_refused_or_holds_what_was_one() {
    let mut folder = Folder::new();
    let at = |folder: &Folder, name: &str| folder.path.join(name);
    folder.put("folder.so", good());
    folder.put("good.so", &named("sample-0001"));
    folder.check("folder.so sample-0000\ngood.so sample-0001");
    folder.remove("folder.so");
    fs::create_dir(at(&folder, "folder.so")).unwrap();
    let _socket = UnixListener::bind(at(&folder, "socket.so")).unwrap();
    symlink("/dev/null", at(&folder, "device.so")).unwrap();
    symlink("loop.so", at(&folder, "loop.so")).unwrap();
    for name in ["folder.so", "socket.so", "device.so", "loop.so"] {
        folder.touch(name);
    }
    // A link may lead somewhere again.
    folder.check(
        "folder.so sample-0000 held: not_regular\ngood.so sample-0001\ndevice.so: not_regular\nloop.so: unreadable\nsocket.so: not_regular\nretry",
    );
}

#[test]
fn fd_14_a_file_that_becomes_huge_is_held() {
    let mut folder = Folder::new();
    folder.put("p.so", good());
    folder.check("p.so sample-0000");
    samples::sparse(&folder.path, "p.so", 20 << 30);
    folder.touch("p.so");
    folder.check("p.so sample-0000 held: too_large");
}

#[test]
fn fd_19_the_first_by_file_name_wins_at_every_update() {
    let mut folder = Folder::new();
    for name in ["c.so", "b.so", "d.so"] {
        folder.put(name, good());
    }
    for _ in 0..20 {
        folder.check("b.so sample-0000\nc.so: duplicate_name\nd.so: duplicate_name");
    }
    folder.put("a.so", good());
    let scan = folder.check(
        "a.so sample-0000\nb.so: duplicate_name\nc.so: duplicate_name\nd.so: duplicate_name",
    );
    let duplicate = &scan.refused[2];
    assert!(
        duplicate
            .to_string()
            .contains("`a.so` holds a plugin of the same name")
    );
    assert_eq!(duplicate.plugin.as_ref().unwrap().as_str(), samples::NAME);
    for _ in 0..3 {
        folder.remove("a.so");
        folder.check("b.so sample-0000\nc.so: duplicate_name\nd.so: duplicate_name");
        folder.put("a.so", good());
        folder.check(
            "a.so sample-0000\nb.so: duplicate_name\nc.so: duplicate_name\nd.so: duplicate_name",
        );
    }
    folder.put("a.so", &named("sample-0001"));
    folder.check("a.so sample-0001\nb.so sample-0000\nc.so: duplicate_name\nd.so: duplicate_name");
}

#[test]
fn a_held_file_goes_on_claiming_its_name() {
    let mut folder = Folder::new();
    folder.put("a.so", good());
    folder.put("b.so", good());
    folder.check("a.so sample-0000\nb.so: duplicate_name");
    folder.put("a.so", b"hello");
    folder.check("a.so sample-0000 held: not_a_library\nb.so: duplicate_name");
    // What is held and serves nothing is refused for what it is now.
    folder.put("b.so", &good()[..4096]);
    folder.check("a.so sample-0000 held: not_a_library\nb.so: truncated");
    folder.remove("a.so");
    folder.check("b.so sample-0000 held: truncated");
}

#[test]
fn a_file_that_was_written_to_is_read_again() {
    let mut folder = Folder::new();
    folder.put("p.so", good());
    folder.check("p.so sample-0000");
    // It says that it is empty, and is not.
    folder.link("p.so", "/proc/self/status");
    for _ in 0..3 {
        folder.check("p.so sample-0000 held: changed_while_reading\nretry");
    }
    folder.replace("p.so", &named("sample-0001"));
    folder.check("p.so sample-0001");
}

#[test]
fn a_link_is_followed_again_until_it_leads_somewhere() {
    let mut folder = Folder::new();
    let build = folder.root.path().join("build");
    folder.link("p.so", "../build/p");
    folder.check("p.so: unreadable\nretry");
    fs::create_dir(&build).unwrap();
    chmod(&build, 0o777);
    write(&build, "p", good());
    folder.check("p.so: unsafe_permissions\nretry");
    chmod(&build, 0o755);
    folder.check("p.so sample-0000");
}

#[test]
fn a_copy_that_could_not_be_kept_is_tried_again() {
    let mut folder = Folder::new();
    folder.put("a.so", good());
    folder.check("a.so sample-0000");
    let (copies, away) = (
        folder.root.path().join("state/generations"),
        folder.root.path().join("away"),
    );
    fs::rename(&copies, &away).unwrap();
    folder.put("a.so", &named("sample-0001"));
    folder.put("b.so", &named("sample-0002"));
    for _ in 0..3 {
        folder.check("a.so sample-0000 held: copy_failed\nb.so: copy_failed\nretry");
    }
    fs::rename(&away, &copies).unwrap();
    folder.check("a.so sample-0001\nb.so sample-0002");
}

#[test]
fn a_copy_that_was_taken_away_is_made_again() {
    let mut folder = Folder::new();
    folder.put("a.so", good());
    let copy = folder.check("a.so sample-0000").staged[0].path.clone();
    fs::remove_file(&copy).unwrap();
    folder.check("a.so sample-0000");
    assert_eq!(fs::read(&copy).unwrap(), good());
}

#[test]
fn copies_of_all_that_was_good_stay() {
    let mut folder = Folder::new();
    let other = samples::Sample {
        flags: &["-s"],
        ..Default::default()
    };
    folder.put("a.so", good());
    folder.put("b.so", &other.build());
    folder.put("c.so", &named("sample-0001"));
    folder.check("a.so sample-0000\nc.so sample-0001\nb.so: duplicate_name");
    folder.put("c.so", b"hello");
    let retired = named("sample-0002");
    folder.put("d.so", &retired);
    let scan = folder.check(
        "a.so sample-0000\nc.so sample-0001 held: not_a_library\nd.so sample-0002\nb.so: duplicate_name",
    );
    let retired = scan.staged[2].digest;
    folder.remove("d.so");
    let rest = "c.so sample-0001 held: not_a_library\nb.so: duplicate_name";
    folder.check(&format!("a.so sample-0000\n{rest}"));
    folder.catalog.tidy([retired]);
    assert_eq!(folder.copies(), 4);
    folder.catalog.tidy([]);
    assert_eq!(folder.copies(), 3);
    folder.remove("a.so");
    let path = folder.path.clone();
    let opened = opened_during(&path, || {
        folder.check("b.so sample-0000\nc.so sample-0001 held: not_a_library");
    });
    assert_eq!(opened, BTreeSet::new());
}

#[test]
fn fd_17_nothing_changes_while_the_folder_cannot_be_used() {
    let mut folder = Folder::new();
    folder.put("a.so", good());
    folder.check("a.so sample-0000");
    folder.put("a.so", b"hello");
    folder.put("b.so", &named("sample-0001"));
    chmod(&folder.path, 0o777);
    let error = folder.update().unwrap_err();
    assert!(matches!(error, ScanError::UnsafePermissions(_)), "{error}");
    let away = folder.root.path().join("away");
    fs::rename(&folder.path, &away).unwrap();
    let error = folder.update().unwrap_err();
    assert!(matches!(error, ScanError::Missing { .. }), "{error}");
    fs::rename(&away, &folder.path).unwrap();
    chmod(&folder.path, 0o755);
    folder.check("a.so sample-0000 held: not_a_library\nb.so sample-0001");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_way_to_a_folder_ends_in_what_a_scan_of_it_gives(steps in proptest::collection::vec(step(), 1..40)) {
        let mut folder = Folder::new();
        for step in steps {
            folder.take(step);
        }
        while let Some(held) = folder.update().unwrap().held.pop() {
            folder.forget(&held.file);
        }
        let fresh = scan(&folder.path, &folder.area).unwrap();
        prop_assert_eq!(text(&folder.update().unwrap()), text(&fresh));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(&'static str, Vec<u8>),
    Touch(&'static str),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    Update,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || proptest::sample::select(&["a.so", "b.so", "c.so", "d.so"][..]);
    let bytes = proptest::sample::select(vec![
        named("sample-0001"),
        named("sample-0002"),
        named("sample-0003"),
        good()[..4096].to_vec(),
        b"hello".to_vec(),
    ]);
    prop_oneof![
        4 => (name(), bytes).prop_map(|(name, bytes)| Step::Put(name, bytes)),
        1 => name().prop_map(Step::Touch),
        1 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name().prop_map(Step::Remove),
        3 => Just(Step::Update),
    ]
}

/// A folder of plugins, the states of its files as a watcher would tell them, and a catalog of it.
struct Folder {
    root: TempDir,
    path: PathBuf,
    area: Arc<StagingArea>,
    states: BTreeMap<String, u32>,
    changes: u32,
    catalog: Catalog<u32>,
}

impl Folder {
    fn new() -> Self {
        let root = samples::folder();
        let path = root.path().join("plugins");
        fs::create_dir(&path).unwrap();
        chmod(&path, 0o755);
        let area = Arc::new(StagingArea::open(&root.path().join("state")).unwrap());
        Self {
            root,
            path,
            catalog: Catalog::new(Arc::clone(&area)),
            area,
            states: BTreeMap::new(),
            changes: 0,
        }
    }

    fn take(&mut self, step: Step) {
        let is_there = |name| self.path.join(name).exists();
        match step {
            Step::Put(name, bytes) => self.put(name, &bytes),
            Step::Touch(name) if is_there(name) => self.touch(name),
            Step::Rename(from, to) if is_there(from) && from != to => {
                fs::rename(self.path.join(from), self.path.join(to)).unwrap();
                self.states.remove(from);
                self.touch(to);
            }
            Step::Remove(name) if is_there(name) => self.remove(name),
            Step::Touch(_) | Step::Rename(..) | Step::Remove(_) => {}
            Step::Update => drop(self.update().unwrap()),
        }
    }

    fn put(&mut self, name: &str, bytes: &[u8]) {
        write(&self.path, name, bytes);
        self.touch(name);
    }

    /// Its state changes.
    fn touch(&mut self, name: &str) {
        self.changes += 1;
        self.states.insert(name.to_owned(), self.changes);
    }

    fn link(&mut self, name: &str, target: &str) {
        let _ = fs::remove_file(self.path.join(name));
        symlink(target, self.path.join(name)).unwrap();
        self.touch(name);
    }

    /// Another file, which looks as the one before did.
    fn replace(&self, name: &str, bytes: &[u8]) {
        fs::remove_file(self.path.join(name)).unwrap();
        write(&self.path, name, bytes);
    }

    fn remove(&mut self, name: &str) {
        fs::remove_file(self.path.join(name)).unwrap();
        self.states.remove(name);
    }

    /// The file stays, and what it was is gone.
    fn forget(&mut self, name: &str) {
        self.states.remove(name);
        self.update().unwrap();
        self.touch(name);
    }

    fn update(&mut self) -> Result<Scan, ScanError> {
        let states = self.states.iter();
        let files = states.map(|(name, state)| (name.into(), *state));
        self.catalog.update(&self.path, files)
    }

    fn check(&mut self, expected: &str) -> Scan {
        let scan = self.update().unwrap();
        assert_eq!(text(&scan), expected);
        scan
    }

    fn copies(&self) -> usize {
        self.root
            .path()
            .join("state/generations")
            .read_dir()
            .unwrap()
            .count()
    }
}

/// One line for each file, and one when there is something to try again.
fn text(scan: &Scan) -> String {
    let held = |file: &str| {
        let held = scan.held.iter().find(|it| it.file == file);
        held.map(|it| format!(" held: {}", it.rejection.reason()))
    };
    let staged = scan.staged.iter().map(|it| {
        let held = held(&it.file_name).unwrap_or_default();
        format!("{} {}{held}", it.file_name, it.manifest.name)
    });
    let refused = scan.refused.iter();
    let refused = refused.map(|it| format!("{}: {}", it.file, it.rejection.reason()));
    let retry = scan.retry.then(|| "retry".to_owned());
    let lines: Vec<_> = staged.chain(refused).chain(retry).collect();
    lines.join("\n")
}
