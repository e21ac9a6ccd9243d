//! How much a worker may take, and that it can take that much.

use std::fs::File;
use std::thread;

use rustix::process::{Resource, geteuid, getrlimit};

use super::{MEMORY, confined, confinement};
use crate::platform::Confinement;

#[test]
fn threads_work() {
    let (_, (sum, status)) = confined(&confinement(), || {
        let threads: Vec<_> = (1..=4).map(|it| thread::spawn(move || it)).collect();
        let sum: u32 = threads.into_iter().map(|it| it.join().unwrap()).sum();
        (sum, c_thread())
    });
    assert_eq!((sum, status), (10, 0));
}

/// The answer of `pthread_create`, joined.
fn c_thread() -> i32 {
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        std::ptr::null_mut()
    }
    // SAFETY: the thread reads no address, and is joined before its number goes.
    unsafe {
        let mut thread = std::mem::zeroed();
        let nothing = std::ptr::null_mut();
        let status = libc::pthread_create(&raw mut thread, std::ptr::null(), body, nothing);
        if status == 0 {
            libc::pthread_join(thread, std::ptr::null_mut());
        }
        status
    }
}

#[test]
fn memory_has_an_end() {
    let (_, (small, large, in_slices)) = confined(&confinement(), || {
        let has = |bytes: u64| {
            let bytes = usize::try_from(bytes).unwrap();
            Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
        };
        let mut slices: Vec<Vec<u8>> = Vec::new();
        let mut slice = Vec::new();
        while slice.try_reserve_exact(1 << 20).is_ok() && slices.len() < 1024 {
            slices.push(std::mem::take(&mut slice));
        }
        let count = slices.len();
        drop(slices);
        (has(MEMORY / 4), has(2 * MEMORY), count)
    });
    assert!(small && !large);
    assert!((100..=256).contains(&in_slices), "{in_slices} MiB");
}

#[test]
fn files_have_an_end() {
    let (_, (opened, core)) = confined(&confinement(), || {
        let files = (0..100).map_while(|_| File::open("/dev/null").ok());
        let files: Vec<_> = files.collect();
        let opened = files.len();
        (opened, getrlimit(Resource::Core).maximum)
    });
    assert!((1..64).contains(&opened), "{opened}");
    assert_eq!(core, Some(0));
}

#[test]
fn threads_have_an_end_where_the_user_is_its_own() {
    if !geteuid().is_root() {
        return;
    }
    // The other tests use the other user, and these are counted per user.
    let asked = Confinement {
        // Nobody else counts towards it: no daemon has so many plugins.
        uid: Some(65_519),
        tasks: 4,
        ..confinement()
    };
    let (_, started) = confined(&asked, || {
        let threads = (0..16).map_while(|_| thread::Builder::new().spawn(thread::park).ok());
        let threads: Vec<_> = threads.collect();
        for it in &threads {
            it.thread().unpark();
        }
        threads
            .into_iter()
            .map(|it| it.join())
            .filter(Result::is_ok)
            .count()
    });
    assert_eq!(started, 3);
}
