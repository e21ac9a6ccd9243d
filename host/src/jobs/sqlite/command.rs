//! What waits for a thread of the store: what is to be done, and who is to hear of it. Knows no thread and no job.

use tokio::sync::oneshot;

use super::session::{Done, Failure, Session};
use crate::jobs::store::StoreError;

/// Which steps of a job tests can stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add,
    Claim,
    Finish,
    Other,
}

/// What is to be done, by a thread that need not know what it is.
pub(super) trait Command: Send {
    fn step(&self) -> Step;

    /// Does it, and keeps the answer. It may be done anew after a transaction was rolled back.
    fn run(&mut self, session: &Session<'_>) -> Done<()>;

    /// Keeps an error as the answer.
    fn refuse(&mut self, error: StoreError);

    /// Answers, once.
    fn answer(self: Box<Self>);
}

/// A command whose answer is a `T`.
pub(super) struct Waiting<T, F> {
    step: Step,
    work: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Waiting<T, F>
where
    T: Send + 'static,
    F: FnMut(&Session<'_>) -> Done<T> + Send + 'static,
{
    /// The command, and where its answer comes.
    pub(super) fn boxed(
        step: Step,
        work: F,
    ) -> (Box<dyn Command>, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        let outcome = None;
        let waiting = Self {
            step,
            work,
            outcome,
            reply,
        };
        (Box::new(waiting), answer)
    }
}

impl<T, F> Command for Waiting<T, F>
where
    T: Send,
    F: FnMut(&Session<'_>) -> Done<T> + Send,
{
    fn step(&self) -> Step {
        self.step
    }

    fn run(&mut self, session: &Session<'_>) -> Result<(), Failure> {
        self.outcome = Some(Ok((self.work)(session)?));
        Ok(())
    }

    fn refuse(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // Who asked may have gone.
            let _ = self.reply.send(outcome);
        }
    }
}
