//! The histories of leases.
//!
//! A take, what is left and what is reclaimed are one step each; a take answers which leases it has how much of. A grant is two: first
//! the oldest lease ends, then the new one is there. What comes back is told after the step, so here it is only counted at the end.

use super::{Call, Order, Specification, Step, assert_explained};
use crate::raw::leases::{LIVE, MOST, RawLeases};
use crate::raw::mark::Mark;
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use crate::time::Timestamp;
use std::sync::Arc;

const TAKERS: u32 = 2;
const CALLS: u32 = 4;
const END: u64 = 1000;

fn at(now: u64) -> Timestamp {
    Timestamp::from_nanos(now)
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Take { now: u64, amount: u64 },
    Left { now: u64 },
    Grant { amount: u64, until: u64 },
    Reclaim { now: u64, amount: u64 },
}

#[derive(PartialEq, Debug)]
enum Answer {
    /// Of the newest lease, and of the one before.
    Taken([(u64, u64); 2]),
    Lack,
    Amount(u64),
    Done,
}

/// What is left of each lease, the oldest first: number, amount, end.
#[derive(Clone, PartialEq, Default, Debug)]
struct Plain {
    left: Vec<(u64, u64, u64)>,
    granted: u64,
}

impl Plain {
    fn left(&self, now: u64) -> u64 {
        self.left.iter().filter(|lease| lease.2 > now).map(|lease| lease.1).sum()
    }

    /// Takes of the oldest first. Returns what it has of each lease. What has run out by then is gone.
    fn take(&mut self, now: u64, amount: u64) -> Vec<(u64, u64)> {
        self.left.retain(|lease| lease.2 > now);
        let mut rest = amount;
        let mut parts = Vec::new();
        for (number, left, _) in &mut self.left {
            let part = rest.min(*left);
            *left -= part;
            rest -= part;
            if part > 0 {
                parts.push((*number, part));
            }
        }
        self.left.retain(|lease| lease.1 > 0);
        parts
    }

    fn grant(&mut self, amount: u64, until: u64) {
        self.granted += 1;
        self.left.push((self.granted, amount, until));
    }
}

impl Specification for Plain {
    type Op = Op;
    type Answer = Answer;
    /// Whether the oldest lease has ended.
    type Progress = bool;

    fn steps(&self, op: &Op, has_ended: &bool) -> Vec<(Self, Step<Self>)> {
        let mut after = self.clone();
        let step = match (*op, *has_ended) {
            (Op::Take { now, amount }, _) if amount > self.left(now) => Step::Answer(Answer::Lack),
            (Op::Take { now, amount }, _) => {
                let mut parts = after.take(now, amount).into_iter().rev();
                let newest = parts.next().unwrap();
                let before = parts.next().map_or(0, |(_, amount)| amount);
                Step::Answer(Answer::Taken([newest, (newest.0 - 1, before)]))
            }
            (Op::Left { now }, _) => Step::Answer(Answer::Amount(self.left(now))),
            (Op::Reclaim { now, amount }, _) => {
                let amount = amount.min(self.left(now));
                after.take(now, amount);
                Step::Answer(Answer::Amount(amount))
            }
            (Op::Grant { .. }, false) => {
                after.left.retain(|lease| lease.0 + LIVE > self.granted + 1);
                Step::Further(true)
            }
            (Op::Grant { amount, until }, true) => {
                after.grant(amount, until);
                Step::Answer(Answer::Done)
            }
        };
        vec![(after, step)]
    }
}

fn parts(mark: &Mark) -> [(u64, u64); 2] {
    let (number, parts) = mark.as_lease().unwrap();
    [(number, parts & MOST), (number - 1, parts >> 40)]
}

/// Broken by: `look` that does not read `newest` again; `pass` that stores; `grant` that ends nothing; a take that does not skip what has
/// run out.
#[test]
fn shuttle_histories_of_leases_can_be_told_one_step_at_a_time() {
    check(20_000, || {
        let (leases, mut granter) = RawLeases::with_granter(false);
        let mut start = Plain::default();
        // So that some histories begin where one more ends the oldest.
        let before = if below(2) == 0 { 1 } else { LIVE };
        for n in 0..before {
            leases.grant(&mut granter, 2, at(4 + n)).unwrap();
            start.grant(2, 4 + n);
        }
        let (leases, order) = (Arc::new(leases), Arc::new(Order::default()));
        let taker = |_| {
            let (leases, order) = (Arc::clone(&leases), Arc::clone(&order));
            let call = move |_| {
                let now = u64::from(below(8));
                let op = match below(4) {
                    0 => Op::Left { now },
                    _ => Op::Take { now, amount: u64::from(1 + below(4)) },
                };
                order.call(op, |op| match *op {
                    Op::Take { now, amount } => match leases.take(at(now), amount) {
                        Ok(taken) => Answer::Taken(parts(&taken.mark)),
                        Err(_) => Answer::Lack,
                    },
                    _ => Answer::Amount(leases.left(at(now))),
                })
            };
            thread::spawn(move || (0..CALLS).map(call).collect::<Vec<_>>())
        };
        let takers: Vec<_> = (0..TAKERS).map(taker).collect();
        let mut until = 4 + before;
        let mut calls: Vec<Call<_, _>> = (0..CALLS)
            .map(|_| {
                until += u64::from(below(2));
                let amount = u64::from(1 + below(3));
                let op = match below(4) {
                    0 => Op::Reclaim { now: u64::from(below(8)), amount },
                    _ => Op::Grant { amount, until },
                };
                order.call(op, |op| match *op {
                    Op::Reclaim { now, amount } => {
                        Answer::Amount(leases.reclaim(&mut granter, at(now), amount))
                    }
                    Op::Grant { amount, until } => {
                        leases.grant(&mut granter, amount, at(until)).unwrap();
                        Answer::Done
                    }
                    _ => Answer::Done,
                })
            })
            .collect();
        calls.extend(takers.into_iter().flat_map(|taker| taker.join().unwrap()));
        assert_eq!(leases.left(at(END)), 0);
        assert_explained(start, calls);
    });
}
