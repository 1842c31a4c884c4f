//! The histories of tokens.
//!
//! Counted at the start: an admission with its stamp, a refusal with its time, a count of what remains and a settlement are
//! one step each. They read the limit in a step before, so a call that runs while the limit changes may still use the old
//! one. An admission may move time on in a step before that.
//!
//! Counted as produced: a settlement is two steps. Between them the weight is held and what was used counts as well.

use super::{Call, Order, Specification, Step, assert_explained};
use crate::raw::tokens::{HeldTokens, RawTokens};
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use crate::tests::tokens::plain::{Full, Plain};
use crate::time::Timestamp;
use core::time::Duration;
use std::sync::Arc;

const TICK: u64 = 1000;
const WINDOW: u64 = 2 * TICK;
const LIMIT: u64 = 7;
const SCALE: (u64, u64, u64) = (1004, TICK, 16);
const THREADS: u32 = 3;
const CALLS: u32 = 4;

fn at(now: u64) -> Timestamp {
    Timestamp::from_nanos(now)
}

fn any_time() -> u64 {
    u64::from(below(6)) * TICK
}

fn any_weight() -> u64 {
    u64::from(1 + below(4))
}

// ---- counted at the start ------------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Op {
    Admit {
        now: u64,
        weight: u64,
    },
    /// Gives back some of what was admitted at the beginning, at time 0.
    GiveBack {
        now: u64,
        of: u32,
        less: u64,
    },
    Remaining {
        now: u64,
    },
    Set {
        limit: u64,
    },
}

#[derive(PartialEq, Debug)]
enum Answer {
    Stamped(u64),
    Full(Full),
    Left(u64),
    Done,
}

#[derive(Clone, PartialEq)]
struct AtStart(Plain);

impl Specification for AtStart {
    type Op = Op;
    type Answer = Answer;
    /// The limit, once it has been read.
    type Progress = Option<u64>;

    fn steps(&self, op: &Op, at: &Option<u64>) -> Vec<(Self, Step<Self>)> {
        let mut after = self.0.clone();
        let step = match (*op, *at) {
            (Op::Set { limit }, _) => {
                after.limit = limit;
                Step::Answer(Answer::Done)
            }
            (Op::GiveBack { now, of, less }, _) => {
                after.settle(now, u64::from(of) + 1, FIRST, FIRST - less);
                Step::Answer(Answer::Done)
            }
            (_, None) => Step::Further(Some(self.0.limit)),
            (Op::Admit { now, weight }, Some(limit)) => {
                let limit = core::mem::replace(&mut after.limit, limit);
                let answer = match after.admit(now, weight) {
                    Ok((stamp, _)) => Answer::Stamped(stamp),
                    Err(full) => Answer::Full(full),
                };
                after.limit = limit;
                let mut steps = vec![(Self(after), Step::Answer(answer))];
                // It may enter its tick first, and find then that others have taken the room.
                let mut entered = self.0.clone();
                if entered.enter(now) {
                    steps.push((Self(entered), Step::Further(*at)));
                }
                return steps;
            }
            (Op::Remaining { now }, Some(limit)) => {
                after.limit = limit;
                let left = after.remaining(now);
                after.limit = self.0.limit;
                Step::Answer(Answer::Left(left))
            }
        };
        vec![(Self(after), step)]
    }
}

/// Each thread has one of these to settle: at time 0, 1 and 2.
const FIRST: u64 = 2;

/// Broken by: a forecast that reads what was given back once; `remaining` that does so; the limit read after the window.
#[test]
fn shuttle_histories_of_tokens_can_be_told_one_call_at_a_time() {
    check(20_000, || {
        let tokens = Arc::new(RawTokens::new(LIMIT, Duration::from_nanos(WINDOW)));
        let mut start = Plain::new(LIMIT, WINDOW, SCALE);
        let order = Arc::new(Order::default());
        let mut first: Vec<_> = (0..THREADS)
            .map(|n| {
                let now = u64::from(n) * TICK;
                start.admit(now, FIRST).unwrap();
                Some(tokens.try_admit(at(now), FIRST).unwrap())
            })
            .collect();
        let run = |of: u32| {
            let (tokens, order) = (Arc::clone(&tokens), Arc::clone(&order));
            let mut first = first[of as usize].take();
            let call = move |_| {
                let op = match below(9) {
                    0 => Op::Remaining { now: any_time() },
                    1 => Op::Set { limit: u64::from(2 + below(8)) },
                    2 | 3 if first.is_some() => {
                        Op::GiveBack { now: any_time(), of, less: any_weight().min(FIRST) }
                    }
                    // Some a lap or more ahead.
                    4 => Op::Admit { now: any_time() + 32 * TICK, weight: any_weight() },
                    _ => Op::Admit { now: any_time(), weight: any_weight() },
                };
                order.call(op, |op| match *op {
                    Op::Admit { now, weight } => match tokens.try_admit(at(now), weight) {
                        Ok(admission) => Answer::Stamped(admission.stamp().as_nanos()),
                        Err(refusal) => Answer::Full(Full::from(refusal)),
                    },
                    Op::GiveBack { now, less, .. } => {
                        tokens.settle(at(now), first.take().unwrap(), FIRST - less);
                        Answer::Done
                    }
                    Op::Remaining { now } => Answer::Left(tokens.remaining(at(now))),
                    Op::Set { limit } => {
                        tokens.set(limit, None);
                        Answer::Done
                    }
                })
            };
            thread::spawn(move || (0..CALLS).map(call).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        let calls = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_explained(AtStart(start), calls);
    });
}

// ---- counted as produced -------------------------------------------------------------------------

#[derive(Clone, PartialEq, Debug)]
struct Held {
    settled: Plain,
    held: u64,
}

#[derive(Clone, Copy, Debug)]
enum HeldOp {
    Reserve { now: u64, weight: u64 },
    Settle { now: u64, weight: u64, actual: u64 },
    Peek { now: u64, weight: u64 },
}

impl Specification for Held {
    type Op = HeldOp;
    type Answer = Result<(), Full>;
    /// Whether what was used counts already.
    type Progress = bool;

    fn steps(&self, op: &HeldOp, counts: &bool) -> Vec<(Self, Step<Self>)> {
        let mut after = self.clone();
        let step = match (*op, *counts) {
            (HeldOp::Reserve { now, weight }, _) => {
                let answer = self.settled.peek(now, weight, self.held);
                after.held += if answer.is_ok() { weight } else { 0 };
                Step::Answer(answer)
            }
            (HeldOp::Peek { now, weight }, _) => {
                Step::Answer(self.settled.peek(now, weight, self.held))
            }
            (HeldOp::Settle { now, actual, .. }, false) => {
                if actual > 0 {
                    after.settled.count(now, actual);
                }
                Step::Further(true)
            }
            (HeldOp::Settle { weight, .. }, true) => {
                after.held -= weight;
                Step::Answer(Ok(()))
            }
        };
        vec![(after, step)]
    }
}

/// Broken by: a refusal that does not read `held` again.
#[test]
fn shuttle_histories_of_held_tokens_can_be_told_one_step_at_a_time() {
    check(20_000, || {
        let tokens = Arc::new(HeldTokens::new(LIMIT, Duration::from_nanos(WINDOW)));
        let start = Held { settled: Plain::new(LIMIT, WINDOW, SCALE), held: 0 };
        let order = Arc::new(Order::default());
        let run = |_| {
            let (tokens, order) = (Arc::clone(&tokens), Arc::clone(&order));
            let mut open = Vec::new();
            let call = move |_| {
                // Time does not step back: a reservation is not settled before it was made.
                let now = 0;
                let op = match open.pop() {
                    Some(reservation) if below(3) > 0 => {
                        let weight = Reserved::weight(&reservation);
                        open.push(reservation);
                        let actual = u64::from(below(u32::try_from(weight).unwrap() + 1));
                        HeldOp::Settle { now, weight, actual }
                    }
                    reservation => {
                        open.extend(reservation);
                        match below(4) {
                            0 => HeldOp::Peek { now, weight: any_weight() },
                            _ => HeldOp::Reserve { now, weight: any_weight() },
                        }
                    }
                };
                order.call(op, |op| match *op {
                    HeldOp::Reserve { now, weight } => {
                        let reserved = tokens.reserve(at(now), weight).map_err(Full::from);
                        reserved.map(|reservation| open.push(reservation))
                    }
                    HeldOp::Settle { now, actual, .. } => {
                        tokens.settle_held(at(now), open.pop().unwrap(), actual);
                        Ok(())
                    }
                    HeldOp::Peek { now, weight } => {
                        tokens.peek(at(now), weight).map_err(Full::from)
                    }
                })
            };
            thread::spawn(move || (0..CALLS).map(call).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        let calls: Vec<Call<_, _>> =
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_explained(start, calls);
    });
}

type Reserved = crate::raw::tokens::Reservation;
