//! Programs in which limiter and model once told different things.

use super::programs::{InFlight, Move, Op, Program, Shape};
use super::scene::run_limiters;

fn call(limiter: usize) -> Op {
    Op::Call { limiter, class: 0, timeout: None, owned: false, polled: true }
}

fn attempt(limiter: usize) -> Op {
    Op::Try { limiter, class: 0, owned: false }
}

/// Two limiters without margin, from 0 ns.
fn two(rules: &[(u32, u64)], in_flight: InFlight, ops: Vec<Op>) -> Program {
    let shapes = [(); 2].map(|()| Shape { rules: rules.to_vec(), margin: 0 });
    Program { start: 0, longest: u64::MAX, has_classes: false, shapes, in_flight, ops }
}

/// The model took the wake for that of the close, and the looker for one that does not stand.
#[test]
fn a_permit_was_given_on_to_a_call_that_a_close_had_woken() {
    let ops = vec![
        attempt(0),
        Op::Time(Move::On(1)),
        call(1),
        call(0),
        Op::End(0),
        Op::Leak(0),
        Op::SetRate { limiter: 1, n: 0, limit: 2, window: 1 },
        Op::Close(0),
        attempt(1),
        Op::Time(Move::Eighths(3)),
        call(1),
    ];
    run_limiters(&two(&[(1, 1)], InFlight::Shared(1), ops)).unwrap();
}
