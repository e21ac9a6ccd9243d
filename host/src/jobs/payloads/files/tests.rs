//! Files of payloads, and what becomes of them when others have their hands on them too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use futures_util::future::ready;
use tempfile::TempDir;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Set for a second process of these tests: a folder with little room.
const SMALL: &str = "BULKHEAD_TEST_SMALL_FOLDER";

struct Fixture {
    folder: TempDir,
    payloads: FilePayloads,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let payloads = FilePayloads::open(folder.path().join("payloads")).unwrap();
        Self { folder, payloads }
    }

    fn path(&self, sha256: Digest) -> PathBuf {
        let root = self.folder.path().join("payloads");
        let name = sha256.to_string();
        root.join(&name[..2]).join(name)
    }

    async fn put(&self, bytes: &'static [u8]) -> (Digest, PathBuf) {
        let sha256 = digest_of(bytes);
        let payload = Payload::Heap(Bytes::from_static(bytes));
        self.payloads.put(sha256, payload).await.unwrap();
        (sha256, self.path(sha256))
    }

    async fn get(&self, sha256: Digest) -> Option<Vec<u8>> {
        let found = self.payloads.get(sha256).await.unwrap();
        found.map(|payload| payload.as_slice().to_vec())
    }

    /// Sweeps what is older than an hour, and of that all.
    async fn sweep(&self) -> u64 {
        let all = |digests| -> BoxFuture<'_, Vec<Digest>> { Box::pin(ready(digests)) };
        let before = hour_ago().into();
        self.payloads.sweep(before, &all).await.unwrap()
    }
}

fn hour_ago() -> SystemTime {
    SystemTime::now() - HOUR
}

fn age(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(hour_ago() - HOUR).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_same_bytes_are_one_file_and_not_written_again() {
    let it = Fixture::new();
    let (sha256, path) = it.put(b"twice").await;
    age(&path);
    let first = identity(&path);
    it.put(b"twice").await;
    assert_eq!(identity(&path), first);
    assert!(fs::metadata(&path).unwrap().modified().unwrap() > hour_ago());
    assert_eq!(names(path.parent().unwrap()), [sha256.to_string()]);
}

#[tokio::test]
async fn what_is_damaged_is_told_and_written_anew() {
    let it = Fixture::new();
    for damage in [&b"daMaged"[..], b"dam", b"damaged and more", b""] {
        let (sha256, path) = it.put(b"damaged").await;
        fs::write(&path, damage).unwrap();
        let error = it.payloads.get(sha256).await.unwrap_err();
        let PayloadError::Damaged { found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(found, digest_of(damage));
        it.put(b"damaged").await;
        assert_eq!(it.get(sha256).await.unwrap(), b"damaged");
    }
}

#[tokio::test]
async fn a_folder_that_went_is_made_anew() {
    let it = Fixture::new();
    let (sha256, path) = it.put(b"again").await;
    for gone in [path.parent().unwrap(), path.ancestors().nth(2).unwrap()] {
        fs::remove_dir_all(gone).unwrap();
        assert!(it.get(sha256).await.is_none());
        assert_eq!(it.sweep().await, 0);
        it.put(b"again").await;
        assert_eq!(it.get(sha256).await.unwrap(), b"again");
    }
}

#[tokio::test]
async fn what_a_killed_host_left_goes_or_comes_back() {
    let it = Fixture::new();
    let (sha256, path) = it.put(b"kept").await;
    let part = path.with_file_name("Ab3dEf.part");
    fs::write(&part, b"ke").unwrap();
    let aside = entry::aside(&path);
    fs::rename(&path, &aside).unwrap();
    assert_eq!(it.get(sha256).await.unwrap(), b"kept", "it lies aside");
    assert_eq!(it.sweep().await, 0);
    assert!(part.exists() && aside.exists(), "they are not old yet");
    age(&part);
    age(&aside);
    assert_eq!(it.sweep().await, 0);
    assert_eq!(names(path.parent().unwrap()), [sha256.to_string()]);
    assert_eq!(it.sweep().await, 0, "it counts as put just now");
    assert_eq!(it.get(sha256).await.unwrap(), b"kept");
}

#[tokio::test]
async fn what_was_written_anew_is_not_undone_by_what_lies_aside() {
    let it = Fixture::new();
    let (sha256, path) = it.put(b"anew").await;
    let aside = entry::aside(&path);
    fs::write(&aside, b"AnEw").unwrap();
    age(&aside);
    assert_eq!(it.sweep().await, 0);
    assert_eq!(names(path.parent().unwrap()), [sha256.to_string()]);
    assert_eq!(it.get(sha256).await.unwrap(), b"anew");
}

#[tokio::test]
async fn a_sweep_lets_be_what_is_none_of_its_own() {
    let it = Fixture::new();
    let (sha256, path) = it.put(b"ours").await;
    let folder = path.parent().unwrap();
    let strangers = ["README", "0123", "notes.aside", "folder"];
    for stranger in &strangers[..3] {
        fs::write(folder.join(stranger), b"").unwrap();
        age(&folder.join(stranger));
    }
    fs::create_dir(folder.join(strangers[3])).unwrap();
    age(&path);
    assert_eq!(it.sweep().await, 1);
    assert!(it.get(sha256).await.is_none());
    assert_eq!(names(folder).len(), strangers.len());
}

#[tokio::test]
async fn more_than_are_asked_for_at_once_are_swept() {
    let it = Fixture::new();
    let put = |number: u32| {
        let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
        let (sha256, file) = (digest_of(&bytes), it.path(digest_of(&bytes)));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &bytes).unwrap();
        age(&file);
        sha256
    };
    let mut kept: Vec<_> = (0..2500).map(put).filter(|it| it.bytes()[1] == 0).collect();
    let asked = std::sync::Mutex::new(Vec::new());
    let unused = |digests: Vec<Digest>| -> BoxFuture<'_, Vec<Digest>> {
        asked.lock().unwrap().push(digests.len());
        Box::pin(ready(
            digests
                .into_iter()
                .filter(|it| it.bytes()[1] != 0)
                .collect(),
        ))
    };
    let swept = it.payloads.sweep(hour_ago().into(), &unused).await.unwrap();
    assert_eq!(swept, 2500 - kept.len() as u64);
    assert_eq!(*asked.lock().unwrap(), [1000, 1000, 500]);
    for sha256 in kept.drain(..) {
        assert!(it.get(sha256).await.is_some());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_made_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let it = Fixture::new();
    let (_, path) = it.put(b"private").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&it.folder.path().join("payloads")), 0o700);
}

/// Two hosts sweep a file that is old while a third puts it, over and over: once put, it is there.
#[test]
fn what_is_put_while_others_sweep_it_stays() {
    const ROUNDS: usize = 1500;
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let folder = folder.unwrap();
    let host = || Folder::open(folder.path().join("payloads")).unwrap();
    let (data, sha256) = (b"contended", digest_of(b"contended"));
    let (round, is_over) = (Barrier::new(4), AtomicBool::new(false));
    // Counted, because a thread that panics leaves the others waiting for it.
    let failures = AtomicUsize::new(0);
    let expect = |is_fine: bool| failures.fetch_add(usize::from(!is_fine), Ordering::Relaxed);
    let sweep = || {
        let host = host();
        let mut removed = 0;
        for _ in 0..ROUNDS {
            round.wait();
            while !is_over.load(Ordering::Acquire) {
                let is_removed = host.remove(sha256, hour_ago());
                expect(is_removed.is_ok());
                removed += u32::from(is_removed.unwrap_or(false));
                expect(host.old(sha256.bytes()[0], hour_ago()).is_ok());
            }
            round.wait();
        }
        removed
    };
    let put = |ages: bool| {
        let host = host();
        for number in 0..ROUNDS {
            if ages {
                host.put(sha256, data).unwrap();
                age(&host
                    .path()
                    .join(&sha256.to_string()[..2])
                    .join(sha256.to_string()));
                is_over.store(false, Ordering::Release);
            }
            round.wait();
            // So that it comes at another moment of the sweeps each time.
            for _ in 0..number % 64 {
                std::hint::black_box(host.path().exists());
            }
            expect(host.put(sha256, data).is_ok());
            for _ in 0..3 {
                expect(matches!(host.read(sha256), Ok(Some(_))));
            }
            is_over.store(true, Ordering::Release);
            round.wait();
        }
    };
    let removed: u32 = thread::scope(|scope| {
        let sweeps = [scope.spawn(sweep), scope.spawn(sweep)];
        let puts = [scope.spawn(|| put(true)), scope.spawn(|| put(false))];
        puts.into_iter().for_each(|it| it.join().unwrap());
        sweeps.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(failures.into_inner(), 0);
    assert!(removed > 0, "no sweep ever came first");
}

/// In a file system of 1 MiB, which a second process of this test mounts for itself alone.
#[test]
fn a_full_disk_is_told_and_leaves_nothing_behind() {
    if let Some(folder) = std::env::var_os(SMALL) {
        return fill(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "jobs::payloads::files::tests::a_full_disk_is_told_and_leaves_nothing_behind";
    let mount = r#"mount -t tmpfs -o size=1m tmpfs "$0" || exit 99; exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]);
    command
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture"])
        .env(SMALL, folder.path());
    let Some(output) = command.output().ok().filter(|it| !is_forbidden(it)) else {
        return eprintln!("SKIPPED: nothing can be mounted here: a full disk is not tested");
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

fn is_forbidden(output: &std::process::Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.code() == Some(99) || said.starts_with("unshare:")
}

#[tokio::main(flavor = "current_thread")]
async fn fill(folder: &Path) {
    let payloads = FilePayloads::open(folder.join("payloads")).unwrap();
    let put = |size: usize| {
        let bytes = Bytes::from(vec![b'x'; size]);
        payloads.put(digest_of(&bytes), Payload::Heap(bytes))
    };
    let small = digest_of(&vec![b'x'; 100 << 10]);
    put(100 << 10).await.unwrap();
    let error = put(2 << 20).await.unwrap_err();
    assert!(matches!(error, PayloadError::Full(_)), "{error}");
    assert!(payloads.get(small).await.unwrap().is_some());
    put(800 << 10)
        .await
        .expect("what did not fit leaves the room to others");
}

#[cfg(unix)]
fn identity(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().ino()
}

#[cfg(not(unix))]
fn identity(_: &Path) -> u64 {
    0
}
