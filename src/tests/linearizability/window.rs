//! The window's histories.
//!
//! An admission, a refusal and a count are one step each. Each reads the limit in a step before. So a call
//! that runs while a limit changes may still use the old one. A change may also be applied more than once:
//! if another thread changes the limit meanwhile and the log grows, others may see the first limit, then
//! the second, and then the first again, until both calls have returned.
//!
//! This covers one ring. Each of several rings has such histories by its share of the limit. All together
//! they keep the limit exactly, but a count of what remains adds up different moments.

use super::{Call, Order, Specification, Step, assert_explained};
use crate::raw::window::Layout;
use crate::raw::window::Log;
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use core::time::Duration;
use std::sync::Arc;

// ---- the specification -----------------------------------------------------------------------

/// The window for a single thread: it keeps all stamps and checks the last ones.
#[derive(Clone, PartialEq)]
struct Plain {
    rules: Vec<Rule>,
    stamps: Vec<u64>,
    /// The largest limit that fits. It keeps this many stamps.
    capacity: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Rule {
    limit: usize,
    window: u64,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// An attempt at this time.
    Claim(u64),
    Remaining(u64),
    /// Changes the first rule.
    Set(Rule),
}

#[derive(PartialEq, Debug)]
enum Answer {
    Stamped(u64),
    /// Until when; `None` if permanent.
    Full(Option<u64>),
    Left(usize),
    Done,
}

impl Specification for Plain {
    type Op = Op;
    type Answer = Answer;
    /// The first rule, once it has been read.
    type Progress = Option<Rule>;

    fn steps(&self, op: &Op, at: &Option<Rule>) -> Vec<(Self, Step<Self>)> {
        let mut after = self.clone();
        let step = match (*op, *at) {
            (Op::Set(rule), None) => {
                after.set(rule);
                Step::Further(Some(rule))
            }
            (Op::Set(rule), Some(_)) => {
                after.set(rule);
                return vec![
                    (self.clone(), Step::Answer(Answer::Done)),
                    (after, Step::Further(Some(rule))),
                ];
            }
            (_, None) => Step::Further(Some(self.rules[0])),
            (Op::Claim(now), Some(first)) => Step::Answer(after.claim(first, now)),
            (Op::Remaining(now), Some(first)) => Step::Answer(Answer::Left(self.left(first, now))),
        };
        vec![(after, step)]
    }
}

impl Plain {
    fn rules(&self, first: Rule) -> impl Iterator<Item = Rule> {
        std::iter::once(first).chain(self.rules[1..].iter().copied())
    }

    /// When this rule admits one more; `None` if never.
    fn free_at(&self, rule: Rule) -> Option<u64> {
        if rule.limit == 0 {
            return None;
        }
        let nth = self.stamps.len().checked_sub(rule.limit);
        Some(nth.map_or(0, |nth| self.stamps[nth] + rule.window))
    }

    fn claim(&mut self, first: Rule, now: u64) -> Answer {
        let free_at = self.rules(first).map(|rule| self.free_at(rule));
        let free_at = free_at.reduce(|a, b| Some(a?.max(b?))).flatten();
        if free_at.is_none_or(|free_at| free_at > now) {
            return Answer::Full(free_at);
        }
        let stamp = self.stamps.last().map_or(now, |newest| now.max(*newest));
        self.stamps.push(stamp);
        self.forget();
        Answer::Stamped(stamp)
    }

    fn left(&self, first: Rule, now: u64) -> usize {
        let left = |rule: Rule| {
            let inside = self.stamps.iter().filter(|stamp| **stamp + rule.window > now).count();
            rule.limit.saturating_sub(inside)
        };
        self.rules(first).map(left).min().unwrap()
    }

    fn set(&mut self, rule: Rule) {
        if rule.limit > self.capacity {
            self.capacity = rule.limit.max((2 * self.capacity).min(MOST_CELLS));
        }
        self.rules[0] = rule;
    }

    fn forget(&mut self) {
        let beyond = self.stamps.len().saturating_sub(self.capacity);
        self.stamps.drain(..beyond);
    }
}

// ---- recording -------------------------------------------------------------------------------

/// No limit shares cells.
const MOST_CELLS: usize = 8;

impl Rule {
    fn any(least: u32) -> Self {
        Self { limit: (least + below(5 - least)) as usize, window: u64::from(1 + below(10)) }
    }

    fn parts(self) -> (u32, Duration) {
        (u32::try_from(self.limit).unwrap(), Duration::from_nanos(self.window))
    }
}

fn make(log: &Log, op: Op) -> Answer {
    match op {
        Op::Claim(now) => match log.try_acquire(now) {
            Ok(stamp) => Answer::Stamped(stamp),
            Err(full) => Answer::Full(full.free_at),
        },
        Op::Remaining(now) => Answer::Left(log.remaining(now) as usize),
        Op::Set(rule) => {
            let (limit, window) = rule.parts();
            log.set(0, limit, window).unwrap();
            Answer::Done
        }
    }
}

/// A log, its specification, and all calls of some threads.
fn record(rules: Vec<Rule>, any_op: fn() -> Op) -> (Plain, Vec<Call<Op, Answer>>) {
    const THREADS: u32 = 3;
    const CALLS: u32 = 4;
    let capacity = rules.iter().map(|rule| rule.limit).max().unwrap();
    let max_cells = u32::try_from(MOST_CELLS).unwrap();
    let layout = Layout {
        capacity: u32::try_from(capacity).unwrap(),
        ..Layout::of(rules.len(), max_cells, 1)
    };
    let parts: Vec<_> = rules.iter().map(|rule| rule.parts()).collect();
    let log = Arc::new(Log::with_layout(&parts, Duration::ZERO, layout));
    let order = Arc::new(Order::default());
    let run = |_| {
        let (log, order) = (Arc::clone(&log), Arc::clone(&order));
        let call = move |_| order.call(any_op(), |op| make(&log, *op));
        thread::spawn(move || (0..CALLS).map(call).collect::<Vec<_>>())
    };
    let threads: Vec<_> = (0..THREADS).map(run).collect();
    let calls = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    (Plain { rules, stamps: Vec::new(), capacity }, calls)
}

fn any_time() -> u64 {
    u64::from(below(16))
}

// ---- the tests -------------------------------------------------------------------------------

/// One sequence of steps explains answers and stamps, the times in refusals, and what remains, for clocks
/// that disagree. Broken by: no clamp; `is_unchanged` always true; no second look at the newest cell;
/// `remaining` not reading the oldest admission, or not reading again.
/// looking at the oldest admission, or not looking again.
#[test]
fn shuttle_histories_of_a_window_can_be_told_one_call_at_a_time() {
    check(50_000, || {
        let rules = (0..=below(2)).map(|_| Rule::any(1)).collect();
        let (start, calls) = record(rules, || match below(8) {
            0 => Op::Remaining(any_time()),
            _ => Op::Claim(any_time()),
        });
        assert_explained(start, calls);
    });
}

/// The first limit changes, also while the log grows for that. Broken by: rings that stay open; stamps, the
/// oldest of them, or a rule that is not copied.
#[test]
fn shuttle_histories_of_a_window_that_changes_can_be_told_one_step_at_a_time() {
    check(50_000, || {
        let rules = (0..=below(2)).map(|_| Rule::any(1)).collect();
        let (start, calls) = record(rules, || match below(8) {
            0 => Op::Remaining(any_time()),
            1 | 2 => Op::Set(Rule::any(0)),
            _ => Op::Claim(any_time()),
        });
        assert_explained(start, calls);
    });
}
