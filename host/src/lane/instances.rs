//! A plugin's instances: one that all calls share where the plugin is thread-safe, else one for
//! each call that runs. An instance that has panicked is never used again.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bulkhead_plugin::abi::{
    CallFailure, FailureKind, Instance, Module, Reply, Run, SharedInstance,
};
use crossbeam_queue::ArrayQueue;

pub(in crate::lane) struct Instances {
    module: Module,
    settings: String,
    kept: Kept,
}

enum Kept {
    Shared(ArcSwapOption<SharedInstance>),
    // As many as calls run at a time; those that wait for a call.
    Idle(Box<ArrayQueue<Instance>>),
}

impl Instances {
    /// Makes the first instance and lets it test itself.
    pub(in crate::lane) fn start(
        module: Module,
        settings: String,
        most: usize,
    ) -> Result<Self, CallFailure> {
        let mut first = module.create(&settings)?;
        first.self_test()?;
        let kept = match first.share() {
            Ok(shared) => Kept::Shared(ArcSwapOption::from_pointee(shared)),
            Err(first) => {
                let idle = ArrayQueue::new(most.max(1));
                drop(idle.push(first));
                Kept::Idle(Box::new(idle))
            }
        };
        Ok(Self {
            module,
            settings,
            kept,
        })
    }

    pub(in crate::lane) fn run(&self, run: &Run<'_>) -> Result<Reply, CallFailure> {
        match &self.kept {
            Kept::Shared(current) => self.run_shared(current, run),
            Kept::Idle(idle) => self.run_exclusive(idle, run),
        }
    }

    fn run_exclusive(
        &self,
        idle: &ArrayQueue<Instance>,
        run: &Run<'_>,
    ) -> Result<Reply, CallFailure> {
        let mut instance = idle
            .pop()
            .map_or_else(|| self.module.create(&self.settings), Ok)?;
        let outcome = instance.run(run);
        if !has_panicked(&outcome) {
            // Full only if more calls run than were ever admitted; then it ends here.
            drop(idle.push(instance));
        }
        outcome
    }

    fn run_shared(
        &self,
        current: &ArcSwapOption<SharedInstance>,
        run: &Run<'_>,
    ) -> Result<Reply, CallFailure> {
        let loaded = current.load();
        let fresh;
        let instance = match &*loaded {
            Some(instance) => instance,
            None => {
                fresh = self.replace(current)?;
                &fresh
            }
        };
        let outcome = instance.run(run);
        if has_panicked(&outcome) {
            // Unless somebody else has replaced it already.
            current.compare_and_swap(Arc::as_ptr(instance), None);
        }
        outcome
    }

    fn replace(
        &self,
        current: &ArcSwapOption<SharedInstance>,
    ) -> Result<Arc<SharedInstance>, CallFailure> {
        let created = self.module.create(&self.settings)?.share();
        let shared =
            Arc::new(created.unwrap_or_else(|_| unreachable!("its module is thread-safe")));
        current.store(Some(Arc::clone(&shared)));
        Ok(shared)
    }
}

fn has_panicked(outcome: &Result<Reply, CallFailure>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|failure| failure.kind == FailureKind::PANIC)
}
