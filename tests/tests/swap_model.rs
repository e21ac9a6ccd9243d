//! Every interleaving of callers and of whoever swaps the generation under them, as far as loom can
//! tell them apart: each call runs in one generation, none runs in one that was said to be empty for
//! good, and that is said once of each that was closed.
//!
//! What stands for the host's `ArcSwap` promises no more than it does: a load sees a store that
//! happened before it. The controls break one thing each, and must be found.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::cell::Cell;
use std::rc::Rc;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};

use swap_model::controls::{CountsOnly, LeavesRelaxed, LooksThenEnters};
use turnstile::{Turned, Turnstile};

/// What the turnstile counts with, here.
mod sync {
    pub(crate) use loom::sync::atomic;
}

#[expect(dead_code, reason = "the model asks nobody how many are inside")]
#[path = "../../host/src/registry/turnstile.rs"]
mod turnstile;

mod swap_model {
    pub(crate) mod controls;
}

/// Where no generation is the current one.
const NONE: usize = usize::MAX;

/// More than ever call at a time.
const MANY: usize = 8;

/// A turnstile, or what is wrong in a control.
trait Gate: 'static {
    fn new() -> Self;
    fn enter(&self, most: usize) -> Result<(), Turned>;
    fn leave(&self) -> bool;
    fn close(&self) -> bool;
}

impl Gate for Turnstile {
    fn new() -> Self {
        Self::new()
    }

    fn enter(&self, most: usize) -> Result<(), Turned> {
        self.enter(most)
    }

    fn leave(&self) -> bool {
        self.leave()
    }

    fn close(&self) -> bool {
        self.close()
    }
}

struct Generation<G> {
    gate: G,
    /// What a call uses and the end of the generation takes away: loom sees whoever uses it without
    /// having to come before or after.
    content: UnsafeCell<()>,
    /// How often it was said to be empty for good. This and the next are the model's own: no step of
    /// the interleaving.
    emptied: Cell<usize>,
    /// How many are inside, as they know it themselves.
    inside: Cell<usize>,
}

impl<G: Gate> Generation<G> {
    fn new() -> Self {
        Self {
            gate: G::new(),
            content: UnsafeCell::new(()),
            emptied: Cell::new(0),
            inside: Cell::new(0),
        }
    }

    /// A call's time inside. True if it is to end the generation.
    fn run(&self, most: usize) -> bool {
        let inside = self.inside.get() + 1;
        self.inside.set(inside);
        assert!(inside <= most, "{inside} were inside, not {most}");
        assert_eq!(
            self.emptied.get(),
            0,
            "a call ran in what was empty for good"
        );
        self.content.with(|_| ());
        let is_last = self.gate.leave();
        self.inside.set(self.inside.get() - 1);
        is_last
    }

    /// The end of it, by whoever was told that it is empty for good.
    fn retire(&self) {
        self.emptied.set(self.emptied.get() + 1);
        assert_eq!(
            self.emptied.get(),
            1,
            "it was said twice to be empty for good"
        );
        self.content.with_mut(|_| ());
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ran,
    Full,
    Gone,
}

/// In which order a swap does its two things.
#[derive(Clone, Copy)]
enum Order {
    StoresFirst,
    ClosesFirst,
}

/// A plugin with all the generations that it will ever have.
struct Plugin<G> {
    current: AtomicUsize,
    generations: [Generation<G>; 3],
    /// The generation that was made last. Who swaps holds it.
    last: Mutex<usize>,
}

impl<G: Gate> Plugin<G> {
    // Loom's threads take turns in one thread; an `Arc` of loom's would panic in a panic.
    fn new() -> Rc<Self> {
        Rc::new(Self {
            current: AtomicUsize::new(0),
            generations: [Generation::new(), Generation::new(), Generation::new()],
            last: Mutex::new(0),
        })
    }

    /// What the runner does.
    fn call(&self, most: usize) -> Outcome {
        let mut refused = NONE;
        let generation = loop {
            let number = self.current.load(Ordering::Acquire);
            if number == NONE {
                return Outcome::Gone;
            }
            assert_ne!(refused, number, "a call has nowhere to go");
            let generation = &self.generations[number];
            match generation.gate.enter(most) {
                Ok(()) => break generation,
                Err(Turned::Closed) => refused = number,
                Err(Turned::Full) => return Outcome::Full,
            }
        };
        if generation.run(most) {
            generation.retire();
        }
        Outcome::Ran
    }

    /// What a reload does once its candidate is fit.
    fn swap(&self, order: Order) {
        let mut last = self.last.lock().unwrap();
        let old = *last;
        *last += 1;
        self.replace(old, *last, order);
    }

    /// What a removal does.
    fn remove(&self) {
        let last = self.last.lock().unwrap();
        self.replace(*last, NONE, Order::StoresFirst);
    }

    fn replace(&self, old: usize, new: usize, order: Order) {
        let old = &self.generations[old];
        let is_empty = match order {
            Order::StoresFirst => {
                self.current.store(new, Ordering::Release);
                old.gate.close()
            }
            Order::ClosesFirst => {
                let is_empty = old.gate.close();
                self.current.store(new, Ordering::Release);
                is_empty
            }
        };
        if is_empty {
            old.retire();
        }
    }

    /// When all is over: what was closed has ended once, what is current has not.
    fn check_end(&self) {
        let current = self.current.load(Ordering::Acquire);
        let last = *self.last.lock().unwrap();
        for (number, generation) in self.generations.iter().enumerate() {
            let emptied = generation.emptied.get();
            let was_closed = number <= last && number != current;
            assert_eq!(emptied, usize::from(was_closed), "ends of {number}");
        }
    }
}

/// Looks at every interleaving with at most three preemptions, in which nearly all there is to find is.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn start<G: Gate>(
    plugin: &Rc<Plugin<G>>,
    work: impl FnOnce(&Plugin<G>) + 'static,
) -> JoinHandle<()> {
    let plugin = Rc::clone(plugin);
    thread::spawn(move || work(&plugin))
}

/// So many callers, each of whom calls so often, while somebody else swaps so often.
fn callers_and_swaps<G: Gate>(callers: usize, calls: usize, swaps: usize, order: Order) {
    explore(move || {
        let plugin = Plugin::<G>::new();
        let caller = move |plugin: &Plugin<G>| {
            (0..calls).for_each(|_| assert_eq!(plugin.call(MANY), Outcome::Ran));
        };
        let swapper = move |plugin: &Plugin<G>| (0..swaps).for_each(|_| plugin.swap(order));
        let others = (1..callers).map(|_| start(&plugin, caller));
        let mut others: Vec<_> = others.collect();
        others.push(start(&plugin, swapper));
        caller(&plugin);
        others.into_iter().for_each(|other| other.join().unwrap());
        plugin.check_end();
    });
}

#[test]
fn calls_run_in_one_generation_each_while_another_comes() {
    callers_and_swaps::<Turnstile>(2, 1, 1, Order::StoresFirst);
}

#[test]
fn calls_run_in_one_generation_each_while_two_others_come() {
    callers_and_swaps::<Turnstile>(1, 2, 2, Order::StoresFirst);
}

#[test]
fn two_swaps_at_a_time_end_what_they_replace() {
    explore(|| {
        let plugin = Plugin::<Turnstile>::new();
        let swappers = [(); 2].map(|()| start(&plugin, |plugin| plugin.swap(Order::StoresFirst)));
        assert_eq!(plugin.call(MANY), Outcome::Ran);
        for swapper in swappers {
            swapper.join().unwrap();
        }
        plugin.check_end();
    });
}

#[test]
fn a_call_runs_or_is_told_that_the_plugin_is_gone() {
    explore(|| {
        let plugin = Plugin::<Turnstile>::new();
        let call = |plugin: &Plugin<Turnstile>| {
            let outcome = plugin.call(MANY);
            assert!(outcome != Outcome::Full, "{outcome:?}");
        };
        let caller = start(&plugin, call);
        let remover = start(&plugin, Plugin::remove);
        call(&plugin);
        caller.join().unwrap();
        remover.join().unwrap();
        assert_eq!(plugin.call(MANY), Outcome::Gone);
        plugin.check_end();
    });
}

#[test]
fn a_swap_and_a_removal_at_a_time_leave_nothing_open() {
    explore(|| {
        let plugin = Plugin::<Turnstile>::new();
        let swapper = start(&plugin, |plugin| {
            plugin.swap(Order::StoresFirst);
            plugin.remove();
        });
        let outcome = plugin.call(MANY);
        assert!(outcome != Outcome::Full, "{outcome:?}");
        swapper.join().unwrap();
        plugin.check_end();
    });
}

#[test]
fn no_more_are_inside_than_may_be() {
    explore(|| {
        let plugin = Plugin::<Turnstile>::new();
        let call = |plugin: &Plugin<Turnstile>| {
            assert_ne!(plugin.call(1), Outcome::Gone);
        };
        let caller = start(&plugin, call);
        let swapper = start(&plugin, |plugin| plugin.swap(Order::StoresFirst));
        call(&plugin);
        caller.join().unwrap();
        swapper.join().unwrap();
        plugin.check_end();
    });
}

#[test]
#[should_panic(expected = "a call has nowhere to go")]
fn control_a_generation_is_closed_before_the_next_is_there() {
    callers_and_swaps::<Turnstile>(2, 1, 1, Order::ClosesFirst);
}

#[test]
#[should_panic(expected = "empty for good")]
fn control_the_last_one_out_does_not_look_whether_it_is_closed() {
    callers_and_swaps::<CountsOnly>(2, 1, 1, Order::StoresFirst);
}

#[test]
#[should_panic(expected = "empty for good")]
fn control_somebody_looks_first_and_goes_in_then() {
    callers_and_swaps::<LooksThenEnters>(2, 1, 1, Order::StoresFirst);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_what_a_call_did_is_not_seen_by_who_ends_its_generation() {
    callers_and_swaps::<LeavesRelaxed>(2, 1, 1, Order::StoresFirst);
}
