//! Collects what waits while the last group is being done, and does it as one: so that throughput grows with the
//! number of those who wait. Knows nothing of what is done.

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::link::{LIMIT, silent};
use crate::jobs::store::StoreError;

/// How many may wait before others wait to do so.
const WAITING: usize = 1024;

/// No more than this many in a group.
const MOST: usize = 256;

/// No more bytes than this in a group, but for a single item.
const MOST_BYTES: usize = 16 << 20;

/// How a group is done.
pub(super) trait Work: Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// How many bytes an item brings.
    fn size(&self, item: &Self::Item) -> usize;

    /// Does all of them, or none; an answer for each.
    fn run<'a>(
        &'a self,
        items: &'a [Self::Item],
    ) -> BoxFuture<'a, Result<Vec<Self::Answer>, StoreError>>;
}

type Answer<W> = oneshot::Sender<Result<<W as Work>::Answer, StoreError>>;

/// Where items are handed in.
pub(super) struct Group<W: Work> {
    inbox: mpsc::Sender<(W::Item, Answer<W>)>,
}

/// Does what was handed in, until nobody can any more.
pub(super) struct GroupTask<W: Work> {
    inbox: mpsc::Receiver<(W::Item, Answer<W>)>,
    work: W,
    closing: CancellationToken,
}

impl<W: Work> Group<W> {
    pub(super) fn new(work: W, closing: CancellationToken) -> (Self, GroupTask<W>) {
        let (sender, inbox) = mpsc::channel(WAITING);
        let task = GroupTask {
            inbox,
            work,
            closing,
        };
        (Self { inbox: sender }, task)
    }

    /// What came of it. Who waits no more may find it done all the same.
    pub(super) async fn hand_in(&self, item: W::Item) -> Result<W::Answer, StoreError> {
        let closed = || StoreError::Unreachable("it is closed".to_owned());
        let (sender, answer) = oneshot::channel();
        let answered = async {
            let sent = self.inbox.send((item, sender)).await;
            sent.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        // However many groups are before it.
        timeout(LIMIT, answered)
            .await
            .unwrap_or_else(|_| Err(silent()))
    }
}

impl<W: Work> GroupTask<W> {
    pub(super) async fn run(mut self) {
        let mut is_closing = false;
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled(), if !is_closing => {
                    // What is in there already is still done.
                    is_closing = true;
                    self.inbox.close();
                }
                count = self.inbox.recv_many(&mut waiting, MOST) => {
                    if count == 0 {
                        return;
                    }
                    self.do_all(&mut waiting).await;
                }
            }
        }
    }

    async fn do_all(&self, waiting: &mut Vec<(W::Item, Answer<W>)>) {
        loop {
            waiting.retain(|(_, answer)| !answer.is_closed());
            if waiting.is_empty() {
                return;
            }
            let count = self.fitting(waiting);
            let (items, answers): (Vec<_>, Vec<_>) = waiting.drain(..count).unzip();
            for (answer, outcome) in answers.into_iter().zip(self.outcomes(&items).await) {
                // Who asked may have gone.
                let _ = answer.send(outcome);
            }
        }
    }

    /// How many of them make a group; at least one.
    fn fitting(&self, waiting: &[(W::Item, Answer<W>)]) -> usize {
        let mut bytes = 0_usize;
        let fits = |(item, _): &&(W::Item, _)| {
            bytes = bytes.saturating_add(self.work.size(item));
            bytes <= MOST_BYTES
        };
        waiting.iter().take_while(fits).count().max(1)
    }

    /// One that cannot be done does not keep the others from it: then each is done by itself. Where the server as a
    /// whole is the reason, another try is not worth it.
    async fn outcomes(&self, items: &[W::Item]) -> Vec<Result<W::Answer, StoreError>> {
        match self.work.run(items).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(StoreError::Corrupt(_) | StoreError::Other(_)) if items.len() > 1 => {
                let mut outcomes = Vec::with_capacity(items.len());
                for item in items {
                    let one = self.work.run(std::slice::from_ref(item)).await;
                    outcomes.push(one.map(|mut answers| answers.remove(0)));
                }
                outcomes
            }
            Err(error) => items.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join_all;
    use tokio::sync::{Mutex, Semaphore};

    use super::*;

    /// Doubles numbers, but for 13; a group waits for its permit.
    struct Doubling {
        permits: Arc<Semaphore>,
        groups: Arc<Mutex<Vec<Vec<usize>>>>,
    }

    impl Work for Doubling {
        type Item = usize;
        type Answer = usize;

        fn size(&self, item: &usize) -> usize {
            *item
        }

        fn run<'a>(&'a self, items: &'a [usize]) -> BoxFuture<'a, Result<Vec<usize>, StoreError>> {
            Box::pin(async move {
                self.permits.acquire().await.unwrap().forget();
                self.groups.lock().await.push(items.to_vec());
                if items.contains(&13) {
                    return Err(StoreError::Other("13".to_owned()));
                }
                Ok(items.iter().map(|it| it * 2).collect())
            })
        }
    }

    /// What came of these, handed in at once while a first one is being done, and how they were grouped.
    async fn check(items: &[usize], outcomes: &[Option<usize>], grouped: &[&[usize]]) {
        let permits = Arc::new(Semaphore::new(0));
        let groups = Arc::default();
        let work = Doubling {
            permits: permits.clone(),
            groups: Arc::clone(&groups),
        };
        let closing = CancellationToken::new();
        let (group, task) = Group::new(work, closing.clone());
        let all = async {
            let found = join_all(items.iter().map(|it| group.hand_in(*it))).await;
            closing.cancel();
            found
        };
        permits.add_permits(100);
        let (found, ()) = tokio::join!(all, task.run());
        let found: Vec<_> = found.into_iter().map(Result::ok).collect();
        assert_eq!(found, outcomes);
        assert_eq!(*groups.lock().await, grouped);
        group.hand_in(1).await.unwrap_err();
    }

    #[tokio::test]
    async fn those_who_wait_are_done_together() {
        check(&[1, 2, 3], &[Some(2), Some(4), Some(6)], &[&[1, 2, 3]]).await;
        let all: &[&[usize]] = &[&[1, 13, 2], &[1], &[13], &[2]];
        check(&[1, 13, 2], &[Some(2), None, Some(4)], all).await;
        let much = MOST_BYTES;
        let doubled = [Some(2 * much), Some(2), Some(4)];
        check(&[much, 1, 2], &doubled, &[&[much], &[1, 2]]).await;
    }
}
