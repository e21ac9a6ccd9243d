//! How much a worker may take, and that it can take that much.

use std::fs::{self, File};
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
fn memory_that_grows_is_copied() {
    let (_, is_whole) = confined(&confinement(), || {
        let mut bytes = vec![7_u8; 1 << 20];
        // Each step is larger than what is mapped for it, so `realloc` asks for a larger mapping.
        while bytes.len() < 64 << 20 {
            bytes.reserve_exact(bytes.len());
            bytes.resize(2 * bytes.len(), 7);
        }
        bytes.shrink_to_fit();
        bytes.len() == 64 << 20 && bytes.iter().all(|it| *it == 7)
    });
    assert!(is_whole);
}

/// The lowest page of the first thread's stack as a mapping of twice the limit; on failure the
/// system's error.
fn enlarged_stack() -> Option<i32> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let stack = maps.lines().find(|it| it.ends_with("[stack]")).unwrap();
    let (start, _) = stack.split_once('-').unwrap();
    let start = usize::from_str_radix(start, 16).unwrap();
    let size = usize::try_from(2 * MEMORY).unwrap();
    // SAFETY: a test runs in a thread of its own, so that nothing of this process lies in there.
    let moved = unsafe {
        let page = std::ptr::with_exposed_provenance_mut(start);
        libc::mremap(page, 4096, size, libc::MREMAP_MAYMOVE)
    };
    (moved == libc::MAP_FAILED)
        .then(|| std::io::Error::last_os_error().raw_os_error())
        .flatten()
}

#[test]
fn the_stack_is_no_way_around_the_limit() {
    let asked = Confinement {
        sandbox: false,
        ..confinement()
    };
    let (_, open) = confined(&asked, enlarged_stack);
    assert_eq!(open, None, "the attempt is real");
    let (_, closed) = confined(&confinement(), enlarged_stack);
    assert_eq!(closed, Some(libc::ENOMEM));
}

#[test]
fn the_stack_has_an_end() {
    let (_, limit) = confined(&confinement(), || {
        let limit = getrlimit(Resource::Stack);
        (limit.current, limit.maximum)
    });
    let ceiling = getrlimit(Resource::Stack).maximum.unwrap_or(u64::MAX);
    let wanted = Some(ceiling.min(8 << 20));
    assert_eq!(limit, (wanted, wanted));
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
