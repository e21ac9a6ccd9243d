mod fixture;
mod log;

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::inotify;
use tokio::time::timeout;

use super::*;
use fixture::{BY_EVENTS, BY_RESCAN, Fixture, GENEROUS, ends_in_so, expected, opened};
use log::Log;

#[tokio::test]
async fn files_come_change_and_go() {
    let mut it = Fixture::with(BY_EVENTS, |folder| {
        fs::write(folder.join("first.so"), "1").unwrap();
    });
    assert!(it.holds("first.so"), "it counts from the start");
    it.write("second.so", "1");
    it.write("foreign.txt", "1");
    it.until_holds(&["first.so", "second.so"]).await;
    it.write("second.so", "another text");
    it.until_holds(&["first.so", "second.so"]).await;
    fs::rename(it.path("second.so"), it.path("third.so")).unwrap();
    it.until_holds(&["first.so", "third.so"]).await;
    fs::remove_file(it.path("first.so")).unwrap();
    it.until_holds(&["third.so"]).await;
}

#[tokio::test]
async fn what_is_renamed_over_a_file_takes_its_place() {
    let mut it = Fixture::new(BY_EVENTS);
    for round in 0..20 {
        it.write("new.tmp", &format!("{round}"));
        fs::rename(it.path("new.tmp"), it.path("x.so")).unwrap();
        it.until_holds(&["x.so"]).await;
    }
    fs::hard_link(it.path("x.so"), it.path("y.so")).unwrap();
    it.until_holds(&["x.so", "y.so"]).await;
    assert!(!it.had_gap("x.so"));
}

#[tokio::test]
async fn a_file_that_is_held_open_does_not_count() {
    let mut it = Fixture::new(BY_EVENTS);
    let mut writer = File::create(it.path("x.so")).unwrap();
    // As some tools do: it has its size from the start.
    writer.set_len(1 << 20).unwrap();
    for piece in ["a", "b"] {
        writer.write_all(piece.as_bytes()).unwrap();
        // Waits for many times as long as a file must stand still.
        it.watcher.rescan().await;
        assert!(!it.holds("x.so"), "after {piece}");
    }
    drop(writer);
    it.until_holds(&["x.so"]).await;
}

#[tokio::test]
async fn a_file_that_is_written_over_counts_as_it_was() {
    let mut it = Fixture::new(BY_EVENTS);
    it.write("x.so", "whole");
    it.until_holds(&["x.so"]).await;
    let whole = it.views.borrow().files.clone();
    let writer = File::create(it.path("x.so")).unwrap();
    it.watcher.rescan().await;
    assert_eq!(it.views.borrow().files, whole);
    drop(writer);
    it.until_holds(&["x.so"]).await;
}

#[tokio::test]
async fn a_file_that_is_being_written_at_the_start_is_picked_up_later() {
    let mut writer = None;
    let mut it = Fixture::with(BY_EVENTS, |folder| {
        writer = Some(File::create(folder.join("x.so")).unwrap());
    });
    let mut writer = writer.unwrap();
    writer.write_all(b"whole").unwrap();
    drop(writer);
    it.until_holds(&["x.so"]).await;
}

#[tokio::test]
async fn a_file_that_comes_back_in_time_leaves_no_gap() {
    let mut it = Fixture::new(BY_EVENTS);
    it.write("x.so", "0");
    it.until_holds(&["x.so"]).await;
    for round in 0.. {
        let start = std::time::Instant::now();
        fs::remove_file(it.path("x.so")).unwrap();
        // When this one counts, the folder was seen without the other.
        let mark = format!("{round}.so");
        it.write(&mark, "mark");
        it.until("marked", |view| view.files.contains_key(OsStr::new(&mark)))
            .await;
        it.write("x.so", "another text");
        let was_in_time = start.elapsed() < Duration::from_millis(500);
        fs::remove_file(it.path(&mark)).unwrap();
        it.until_holds(&["x.so"]).await;
        if was_in_time {
            assert!(!it.had_gap("x.so"));
            return;
        }
        it.history.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn a_folder_that_goes_takes_nothing_along() {
    let mut it = Fixture::new(BY_RESCAN);
    it.write("x.so", "1");
    it.until_holds(&["x.so"]).await;
    let before = it.views.borrow().files.clone();
    fs::rename(it.path(""), it.beside("away")).unwrap();
    it.until_missing().await;
    it.watcher.rescan().await;
    assert_eq!(it.views.borrow().files, before);
    fs::rename(it.beside("away"), it.path("")).unwrap();
    it.until("back", |view| {
        view.problem.is_none() && view.files == before
    })
    .await;

    fs::rename(it.path(""), it.beside("away")).unwrap();
    fs::write(it.beside("watched"), "a file").unwrap();
    let is_unreadable =
        |view: &FolderView| matches!(view.problem, Some(FolderProblem::Unreadable { .. }));
    it.until("unreadable", is_unreadable).await;
    it.watcher.rescan().await;
    assert_eq!(it.views.borrow().files, before);
}

#[tokio::test]
async fn a_folder_that_is_made_anew_is_watched_anew() {
    // Missing for long enough that it is noticed, or not.
    for waits in [true, false] {
        let mut it = Fixture::new(BY_EVENTS);
        it.write("x.so", "1");
        it.until_holds(&["x.so"]).await;
        fs::remove_dir_all(it.path("")).unwrap();
        if waits {
            it.until_missing().await;
        }
        fs::create_dir(it.path("")).unwrap();
        if waits {
            // No event tells of it.
            it.watcher.rescan().await;
        }
        it.write("x.so", "22");
        it.until_holds(&["x.so"]).await;
        it.write("y.so", "22");
        it.until_holds(&["x.so", "y.so"]).await;
    }
}

#[tokio::test]
async fn another_folder_in_its_place_is_watched() {
    let mut it = Fixture::new(BY_EVENTS);
    it.write("x.so", "1");
    it.until_holds(&["x.so"]).await;
    fs::create_dir(it.beside("other")).unwrap();
    fs::write(it.beside("other").join("y.so"), "2").unwrap();
    fs::rename(it.path(""), it.beside("away")).unwrap();
    fs::rename(it.beside("other"), it.path("")).unwrap();
    it.until_holds(&["y.so"]).await;
    it.write("z.so", "3");
    it.until_holds(&["y.so", "z.so"]).await;
}

#[tokio::test]
async fn a_link_to_the_folder_is_followed_wherever_it_leads() {
    let mut it = Fixture::new(BY_RESCAN);
    for (name, file) in [("a", "x.so"), ("b", "y.so")] {
        fs::create_dir(it.beside(name)).unwrap();
        fs::write(it.beside(name).join(file), "1").unwrap();
    }
    fs::remove_dir(it.path("")).unwrap();
    symlink("a", it.beside("watched")).unwrap();
    it.until_holds(&["x.so"]).await;
    symlink("b", it.beside("next")).unwrap();
    fs::rename(it.beside("next"), it.beside("watched")).unwrap();
    it.until_holds(&["y.so"]).await;
}

#[tokio::test]
async fn a_link_is_what_it_leads_to() {
    let mut it = Fixture::new(BY_RESCAN);
    fs::write(it.beside("real"), "1").unwrap();
    symlink("../real", it.path("x.so")).unwrap();
    it.until_holds(&["x.so"]).await;
    // No event tells of it.
    fs::write(it.beside("real"), "another text").unwrap();
    it.until_holds(&["x.so"]).await;
    fs::remove_file(it.beside("real")).unwrap();
    it.until_holds(&["x.so"]).await;
    assert!(!it.had_gap("x.so"));
}

#[tokio::test]
async fn a_link_over_another_that_is_swapped_is_seen_at_once() {
    let mut it = Fixture::new(BY_EVENTS);
    for version in ["..1", "..2"] {
        fs::create_dir(it.path(version)).unwrap();
        fs::write(it.path(version).join("x.so"), version).unwrap();
    }
    symlink("..1", it.path("..data")).unwrap();
    symlink("..data/x.so", it.path("x.so")).unwrap();
    it.until_holds(&["x.so"]).await;
    symlink("..2", it.path("..next")).unwrap();
    fs::rename(it.path("..next"), it.path("..data")).unwrap();
    it.until_holds(&["x.so"]).await;
}

#[tokio::test]
async fn whatever_has_the_name_is_told_of_and_not_opened() {
    let mut it = Fixture::new(BY_EVENTS);
    let fifo = CString::new(it.path("fifo.so").to_str().unwrap()).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::create_dir(it.path("folder.so")).unwrap();
    symlink("nowhere", it.path("dangling.so")).unwrap();
    symlink("loop.so", it.path("loop.so")).unwrap();
    let _socket = UnixListener::bind(it.path("socket.so")).unwrap();
    it.write("x.so", "1");
    let names = [
        "dangling.so",
        "fifo.so",
        "folder.so",
        "loop.so",
        "socket.so",
        "x.so",
    ];
    it.until_holds(&names).await;
    let view = look(&it.path(""), ends_in_so);
    assert_eq!(view.files, it.views.borrow().files);
}

#[tokio::test]
async fn only_candidates_are_opened() {
    let mut it = Fixture::new(BY_EVENTS);
    let queue = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&queue, it.path(""), inotify::WatchFlags::OPEN).unwrap();
    let foreign = [
        ".y.so",
        "x.so.tmp",
        "x.so~",
        "x.so.part",
        "4913",
        "X.SO",
        "libx.so.1.2",
    ];
    // A rename opens nothing.
    for name in foreign.iter().chain(&["x.so"]) {
        fs::write(it.beside(name), "1").unwrap();
        fs::rename(it.beside(name), it.path(name)).unwrap();
    }
    it.until_holds(&["x.so"]).await;
    it.watcher.rescan().await;
    assert_eq!(opened(&queue), ["x.so"]);
}

#[tokio::test]
async fn a_good_file_is_found_in_a_storm() {
    let mut it = Fixture::new(BY_EVENTS);
    for number in 0..10_000 {
        it.write(&format!("{number}.txt"), "1");
        if number == 5_000 {
            it.write("x.so", "1");
        }
    }
    it.until_holds(&["x.so"]).await;
}

#[tokio::test]
async fn many_files_at_once_are_all_found() {
    let mut it = Fixture::new(BY_EVENTS);
    let names: Vec<_> = (0..1_000).map(|number| format!("{number}.so")).collect();
    for name in &names {
        it.write(name, name);
    }
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    it.until_holds(&names).await;
    for name in names.drain(500..) {
        fs::remove_file(it.path(name)).unwrap();
    }
    it.until_holds(&names).await;
}

#[tokio::test]
async fn a_rescan_returns_when_the_view_is_up_to_date() {
    let quiet = WatchSettings {
        settle: Duration::from_millis(300),
        ..BY_EVENTS
    };
    let it = Fixture::new(quiet);
    it.write("x.so", "1");
    it.watcher.rescan().await;
    assert_eq!(it.views.borrow().files, expected(&it.path(""), &["x.so"]));
    fs::remove_file(it.path("x.so")).unwrap();
    it.watcher.rescan().await;
    assert!(it.views.borrow().files.is_empty());
}

#[tokio::test]
async fn a_folder_that_is_forbidden_keeps_its_files() {
    let mut it = Fixture::new(BY_RESCAN);
    it.write("x.so", "1");
    it.until_holds(&["x.so"]).await;
    for mode in [0o000, 0o400] {
        fs::set_permissions(it.path(""), fs::Permissions::from_mode(mode)).unwrap();
        if fs::metadata(it.path("x.so")).is_ok() {
            // Nothing is forbidden to root.
            return;
        }
        it.until("forbidden", |view| view.problem.is_some()).await;
        it.watcher.rescan().await;
        assert!(it.holds("x.so"));
        fs::set_permissions(it.path(""), fs::Permissions::from_mode(0o700)).unwrap();
        it.until_holds(&["x.so"]).await;
    }
}

#[tokio::test]
async fn the_task_ends_with_the_last_handle() {
    let it = Fixture::new(BY_EVENTS);
    let second = it.watcher.clone();
    drop(it.watcher);
    second.rescan().await;
    drop(second);
    timeout(GENEROUS, it.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_rescan_without_a_task_returns() {
    let folder = PathBuf::from("/nowhere");
    let first = look(&folder, ends_in_so);
    let (watcher, task) = Watcher::new(folder, ends_in_so, BY_EVENTS, first);
    drop(task);
    watcher.rescan().await;
}

#[test]
fn a_problem_says_what_to_do() {
    let check = |folder: &str, expected: &str| {
        let view = look(Path::new(folder), ends_in_so);
        assert_eq!(view.problem.unwrap().to_string(), expected);
        assert!(view.files.is_empty());
    };
    check(
        "/nowhere",
        "the folder `/nowhere` does not exist; make it, and its files are picked up",
    );
    check(
        "/dev/null",
        "the folder `/dev/null` cannot be read: Not a directory (os error 20); let this user list and enter it",
    );
}

#[tokio::test]
async fn a_problem_is_logged_when_it_begins_and_when_it_ends() {
    let (log, _guard) = Log::listen();
    let mut it = Fixture::new(BY_RESCAN);
    for round in 1..=2 {
        fs::remove_dir(it.path("")).unwrap();
        it.until_missing().await;
        for _ in 0..5 {
            it.watcher.rescan().await;
        }
        assert_eq!(log.lines_with("does not exist"), round);
        fs::create_dir(it.path("")).unwrap();
        it.until("back", |view| view.problem.is_none()).await;
        it.watcher.rescan().await;
        assert_eq!(log.lines_with("can be read again"), round);
    }
    assert_eq!(log.lines_with(""), 4);
}

#[tokio::test]
#[ignore = "takes all inotify instances of its user from everybody else"]
async fn without_events_it_lives_by_looking() {
    let (log, _guard) = Log::listen();
    let mut all = Vec::new();
    while let Ok(queue) = inotify::init(inotify::CreateFlags::CLOEXEC) {
        all.push(queue);
    }
    let mut it = Fixture::new(BY_RESCAN);
    for text in ["1", "22", "333"] {
        it.write("x.so", text);
        it.until_holds(&["x.so"]).await;
    }
    assert_eq!(log.lines_with("are not announced"), 1);
    drop(all);
    it.watcher.rescan().await;
    assert_eq!(log.lines_with("are announced again"), 1);
}
