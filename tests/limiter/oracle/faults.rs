//! Programs in which limiter and model once told different things.

use super::programs::{InFlight, Move, Op, Program, Shape, SlotsOp, Woken};
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

/// The model did not expect that.
#[test]
fn calls_that_stood_kept_room_for_longer_after_the_clock_had_stepped_back() {
    let low = Op::Call { limiter: 0, class: 2, timeout: None, owned: false, polled: true };
    let ops = vec![
        Op::Time(Move::Eighths(3)),
        call(0),
        call(0),
        Op::Silence(1),
        Op::Slots(SlotsOp::Add(1)),
        Op::Leak(0),
        call(0),
        call(0),
        Op::Time(Move::Jump(1)),
        Op::Silence(3),
        Op::Slots(SlotsOp::Wait),
        low,
        attempt(0),
        Op::Silence(2),
        Op::Run { backwards: false },
        Op::Grace,
    ];
    let program = two(&[(2, 1)], InFlight::Shared(0), ops);
    run_limiters(&Program { has_classes: true, ..program }).unwrap();
}

/// A turn given after the step back counts with those given before.
#[test]
fn turns_counted_for_longer_after_the_clock_had_stepped_back() {
    let again = |which| Op::Poll(which, Woken::BySame);
    let ops = vec![
        Op::Time(Move::Eighths(1)),
        attempt(0),
        call(0),
        call(0),
        call(0),
        Op::Time(Move::On(1)),
        again(0),
        again(0),
        Op::Time(Move::Jump(1)),
        Op::Reset(0),
        Op::Drop(0),
        Op::Time(Move::Eighths(2)),
        attempt(0),
    ];
    run_limiters(&two(&[(1, 1)], InFlight::Unlimited, ops)).unwrap();
}

/// At its first poll, when it answers after another has claimed its permit, and as its timer rings early.
#[test]
fn a_call_that_woke_itself_three_times_was_taken_for_one_that_does_so_endlessly() {
    let again = |which| Op::Poll(which, Woken::BySame);
    let ops = vec![
        attempt(0),
        attempt(1),
        Op::Time(Move::On(2)),
        call(0),
        call(0),
        Op::Silence(0),
        Op::End(0),
        Op::Grace,
        again(0),
        Op::Time(Move::On(2)),
        again(0),
    ];
    let program = two(&[(2, 2)], InFlight::Shared(2), ops);
    run_limiters(&Program { longest: 1, ..program }).unwrap();
}

/// It did not look at the rate first, which was zero: there was room for all, so that each was refused.
#[test]
fn a_refused_call_freed_the_slot_of_a_silent_one() {
    let ops = vec![
        attempt(0),
        call(1),
        Op::End(0),
        Op::SetRate { limiter: 1, n: 0, limit: 0, window: 1 },
        attempt(1),
        Op::Time(Move::Eighths(3)),
        attempt(1),
    ];
    run_limiters(&two(&[(4, 1)], InFlight::Shared(1), ops)).unwrap();
}

/// Its slot had been taken, so that it claims the next one that is granted. To the model that one kept room on.
#[test]
fn a_silent_call_left_with_the_slot_that_a_younger_one_had_just_been_granted() {
    let ops = vec![
        attempt(0),
        Op::Time(Move::On(1)),
        call(0),
        Op::Silence(0),
        Op::End(0),
        attempt(1),
        Op::Time(Move::Eighths(3)),
        attempt(1),
        Op::Time(Move::On(1)),
        call(1),
        Op::End(0),
        Op::Drop(0),
        attempt(1),
    ];
    run_limiters(&two(&[(1, 1)], InFlight::Shared(1), ops)).unwrap();
}

/// The clock steps back by a second, which is no jump: no timer rings.
#[test]
fn a_call_slept_for_longer_after_the_clock_had_stepped_back_by_a_second() {
    let ops = vec![
        Op::Time(Move::Eighths(8)),
        attempt(0),
        call(0),
        call(0),
        Op::Silence(0),
        Op::End(0),
        Op::Run { backwards: false },
        Op::Time(Move::Jump(1)),
        Op::Grace,
    ];
    run_limiters(&two(&[], InFlight::Shared(1), ops)).unwrap();
}

/// The limiter counts it with turns of the next eighth of the grace, if it has counted such turns before the jump.
#[test]
fn a_turn_counted_for_longer_as_the_clock_showed_a_time_again() {
    let ops = vec![
        Op::Time(Move::Eighths(16)),
        attempt(0),
        call(0),
        Op::End(0),
        Op::Run { backwards: false },
        Op::Time(Move::Jump(1)),
        Op::Time(Move::Eighths(8)),
        call(0),
        call(0),
        Op::Drop(0),
        Op::End(0),
        Op::Silence(0),
        Op::Time(Move::Eighths(2)),
        attempt(0),
    ];
    run_limiters(&two(&[], InFlight::Own(1), ops)).unwrap();
}

/// The clock shows the time again at which it stood.
#[test]
fn a_silent_call_that_stood_kept_room_again_after_the_clock_had_jumped_back() {
    let ops = vec![
        call(0),
        Op::Grace,
        Op::Slots(SlotsOp::Add(1)),
        Op::Silence(0),
        call(0),
        Op::Time(Move::Jump(1)),
        Op::Time(Move::On(2)),
        Op::Grace,
    ];
    run_limiters(&two(&[(1, 1)], InFlight::Shared(0), ops)).unwrap();
}

/// It was polled after that, but did not show itself: its timer had not rung.
#[test]
fn a_silent_call_that_stood_counted_by_a_poll_before_the_clock_had_jumped_back() {
    let ops = vec![
        attempt(0),
        Op::Time(Move::Eighths(11)),
        call(0),
        Op::Time(Move::Jump(1)),
        Op::Poll(0, Woken::BySame),
        Op::Silence(0),
        call(1),
        Op::End(0),
        Op::Grace,
        call(0),
        Op::Slots(SlotsOp::Add(3)),
        attempt(0),
    ];
    run_limiters(&two(&[(2, 1)], InFlight::Shared(1), ops)).unwrap();
}

/// Then it looked at the permit of a silent call three eighths of the grace later.
#[test]
fn a_look_came_a_nanosecond_early_after_the_clock_had_stepped_back() {
    let ops = vec![
        attempt(0),
        Op::Time(Move::Eighths(3)),
        call(1),
        call(1),
        call(1),
        Op::Time(Move::Back(1)),
        Op::End(0),
        Op::Silence(1),
        Op::Silence(0),
        Op::Grace,
    ];
    run_limiters(&two(&[], InFlight::Both { own: 1, shared: 1 }, ops)).unwrap();
}
