//! Whether a recorded history of concurrent calls can be told as a sequence of calls, one at a time,
//! each between its beginning and its end (Herlihy and Wing 1990), by trying (Wing and Gong 1993).

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

/// Puts the beginnings and ends of all calls of one execution in order.
#[derive(Default)]
pub(crate) struct Order(AtomicU64);

impl Order {
    /// Makes a call and records it.
    pub(crate) fn call<Op, Answer>(
        &self,
        op: Op,
        make: impl FnOnce(&Op) -> Answer,
    ) -> Call<Op, Answer> {
        let begun = self.0.fetch_add(1, Ordering::SeqCst);
        let answer = make(&op);
        Call { begun, ended: self.0.fetch_add(1, Ordering::SeqCst), op, answer }
    }
}

/// One call, as seen from outside.
#[derive(Debug)]
pub(crate) struct Call<Op, Answer> {
    begun: u64,
    ended: u64,
    op: Op,
    answer: Answer,
}

/// Something that answers one call at a time.
pub(crate) trait Sequential: Clone {
    type Op: Debug;
    type Answer: PartialEq + Debug;

    fn answer(&mut self, op: &Self::Op) -> Self::Answer;
}

/// Fails if no sequence of these calls explains their answers.
pub(crate) fn assert_linearizable<S: Sequential>(
    start: &S,
    mut calls: Vec<Call<S::Op, S::Answer>>,
) {
    calls.sort_by_key(|call| call.begun);
    let rest: Vec<_> = calls.iter().collect();
    assert!(explains(start, &rest), "no sequence explains {calls:#?}");
}

fn explains<S: Sequential>(state: &S, rest: &[&Call<S::Op, S::Answer>]) -> bool {
    let Some(first_end) = rest.iter().map(|call| call.ended).min() else { return true };
    // The next one in the sequence began before any of the rest ended.
    let next = |i: usize| {
        let mut state = state.clone();
        let call = rest[i];
        call.begun < first_end && state.answer(&call.op) == call.answer && {
            let others: Vec<_> = [&rest[..i], &rest[i + 1..]].concat();
            explains(&state, &others)
        }
    };
    (0..rest.len()).any(next)
}
