//! Checks whether a sequential specification explains a recorded history of concurrent calls: each call
//! takes effect between its beginning and its end (Herlihy and Wing 1990).
//!
//! Most calls are one step of the specification. A call that promises less takes several: other calls may
//! come between its steps, but all steps lie between its beginning and its end. (A call that waits is
//! several calls anyway. Each poll is one, and so is the drop: Scherer and Scott 2004.)
//!
//! The check reads the history once. It keeps every possible state, together with how far each running call
//! has come. It takes steps only when a call ends, and only those that give the recorded answer (just in
//! time: Lowe 2017). If no state is left, nothing explains the history.

mod leases;
mod semaphore;
mod tokens;
mod window;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;

/// Puts the beginnings and ends of all calls of one execution in order.
#[derive(Default)]
struct Order(AtomicUsize);

impl Order {
    /// Makes a call and records it.
    fn call<Op, Answer>(&self, op: Op, make: impl FnOnce(&Op) -> Answer) -> Call<Op, Answer> {
        let begun = self.0.fetch_add(1, Ordering::SeqCst);
        let answer = make(&op);
        Call { begun, ended: self.0.fetch_add(1, Ordering::SeqCst), op, answer }
    }
}

/// One call, as seen from outside.
#[derive(Debug)]
struct Call<Op, Answer> {
    begun: usize,
    ended: usize,
    op: Op,
    answer: Answer,
}

/// A waker that records whether it was called.
#[derive(Default)]
struct Flag(AtomicBool);

impl Flag {
    fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A specification that takes one step at a time.
trait Specification: Clone + PartialEq {
    type Op: Debug;
    type Answer: PartialEq + Debug;
    /// How far a call of several steps has come; the default has taken none.
    type Progress: Clone + PartialEq + Default;

    /// The steps that a call may take next, and the state after each.
    fn steps(&self, op: &Self::Op, at: &Self::Progress) -> Vec<(Self, Step<Self>)>;
}

/// The result of a step.
enum Step<S: Specification> {
    Further(S::Progress),
    Answer(S::Answer),
}

type History<S> = [Call<<S as Specification>::Op, <S as Specification>::Answer>];

/// Fails if no sequence of steps explains the answers of these calls.
fn assert_explained<S: Specification>(start: S, mut calls: Vec<Call<S::Op, S::Answer>>) {
    calls.sort_by_key(|call| call.begun);
    if let Err(call) = explain(start, &calls) {
        panic!("nothing explains the answer of {:?} in {calls:#?}", calls[call]);
    }
}

/// Whether some sequence of steps explains these calls. The error is the first call that no
/// sequence explains. The calls are in the order of their beginnings.
fn explain<S: Specification>(start: S, calls: &History<S>) -> Result<(), usize> {
    let begins = calls.iter().enumerate().map(|(call, record)| (record.begun, call, false));
    let ends = calls.iter().enumerate().map(|(call, record)| (record.ended, call, true));
    let mut events: Vec<_> = begins.chain(ends).collect();
    events.sort_unstable();
    let mut worlds = vec![World { thing: start, running: Vec::new() }];
    for (_, call, is_end) in events {
        worlds = if is_end {
            after_end(worlds, call, calls)
        } else {
            worlds.into_iter().map(|world| world.with(call)).collect()
        };
        if worlds.is_empty() {
            return Err(call);
        }
    }
    Ok(())
}

/// The worlds in which `call` has given its answer, without duplicates. (There are few, so comparing is
/// faster than hashing.)
fn after_end<S: Specification>(
    mut known: Vec<World<S>>,
    call: usize,
    calls: &History<S>,
) -> Vec<World<S>> {
    let mut ended = Vec::new();
    let mut ahead = 0;
    while let Some(world) = known.get(ahead) {
        ahead += 1;
        if let Some(world) = world.without_if_answered(call) {
            insert(&mut ended, world);
            continue;
        }
        for next in world.after_a_step(calls) {
            insert(&mut known, next);
        }
    }
    ended
}

fn insert<T: PartialEq>(set: &mut Vec<T>, new: T) {
    if !set.contains(&new) {
        set.push(new);
    }
}

/// One possible state.
#[derive(Clone, PartialEq)]
struct World<S: Specification> {
    thing: S,
    /// Calls that have begun and not ended; `None` once they have answered.
    running: Vec<(usize, Option<S::Progress>)>,
}

impl<S: Specification> World<S> {
    fn with(mut self, call: usize) -> Self {
        self.running.push((call, Some(S::Progress::default())));
        self
    }

    fn without_if_answered(&self, call: usize) -> Option<Self> {
        let mut world = self.clone();
        let mut running = world.running.iter();
        let place = running.position(|(other, at)| *other == call && at.is_none())?;
        world.running.remove(place);
        Some(world)
    }

    fn after_a_step(&self, calls: &History<S>) -> Vec<Self> {
        let mut worlds = Vec::new();
        for (place, (call, at)) in self.running.iter().enumerate() {
            let Some(at) = at else { continue };
            let Call { op, answer, .. } = &calls[*call];
            for (thing, step) in self.thing.steps(op, at) {
                let mut running = self.running.clone();
                running[place].1 = match step {
                    Step::Further(at) => Some(at),
                    Step::Answer(given) if given == *answer => None,
                    Step::Answer(_) => continue,
                };
                worlds.push(Self { thing, running });
            }
        }
        worlds
    }
}
