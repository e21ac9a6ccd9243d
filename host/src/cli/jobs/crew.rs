//! Threads that share a list of work. Knows not what the work is.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};

/// Says when the work is to end before all of it is done.
pub(super) struct Stop(Receiver<()>);

impl Stop {
    /// Sleeps, and gives whether the work is to end.
    pub(super) fn sleep(&self, pause: Duration) -> bool {
        // Nothing is ever sent: the sender goes.
        self.0.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Has `hands` threads do `work` on all items in their order, and hands over what came of them on the caller's
/// thread, as many at a time as have come by then. When `done` breaks no more work is begun; what was begun is
/// still handed over.
pub(super) fn share<T: Sync, R: Send>(
    items: &[T],
    hands: usize,
    work: impl Fn(&T, &Stop) -> Option<R> + Sync,
    mut done: impl FnMut(Vec<R>) -> ControlFlow<()>,
) {
    let (stopper, stopped) = bounded(0);
    let (results, all) = unbounded();
    let next = AtomicUsize::new(0);
    let hand = |stop: Stop, results: crossbeam_channel::Sender<R>| {
        while !stop.sleep(Duration::ZERO) {
            let item = items.get(next.fetch_add(1, Ordering::Relaxed));
            let Some(result) = item.and_then(|item| work(item, &stop)) else {
                return;
            };
            // The receiver is there until all hands are gone.
            let _ = results.send(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..hands.min(items.len()) {
            let (stop, results) = (Stop(stopped.clone()), results.clone());
            scope.spawn(|| hand(stop, results));
        }
        drop(results);
        let mut stopper = Some(stopper);
        while let Ok(first) = all.recv() {
            let batch = std::iter::once(first).chain(all.try_iter()).collect();
            if done(batch).is_break() {
                stopper.take();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        for hands in [1, 3, 50] {
            let items: Vec<_> = (0..20).collect();
            let mut seen = Vec::new();
            share(
                &items,
                hands,
                |item, _| Some(*item),
                |batch| {
                    seen.extend(batch);
                    ControlFlow::Continue(())
                },
            );
            seen.sort_unstable();
            assert_eq!(seen, items, "{hands} hands");
        }
        share(
            &[0; 0],
            8,
            |_, _| Some(()),
            |_| panic!("there is nothing to do"),
        );
    }

    #[test]
    fn an_end_wakes_those_who_sleep_and_loses_nothing() {
        let items = [0, 1, 2, 3, 4, 5];
        let begun = Mutex::new(Vec::new());
        let mut seen = Vec::new();
        let work = |item: &i32, stop: &Stop| {
            begun.lock().unwrap().push(*item);
            // The first breaks; the other hand sleeps until then.
            (*item == 0 || stop.sleep(Duration::from_secs(3600))).then_some(*item)
        };
        share(&items, 2, work, |batch| {
            seen.extend(batch);
            ControlFlow::Break(())
        });
        let mut begun = begun.into_inner().unwrap();
        begun.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, begun);
        assert!(seen.len() <= 3, "{seen:?}");
    }
}
