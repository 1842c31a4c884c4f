//! Limits on tokens under loom: what a settlement, a refusal in the middle or a large call that leaves means to those in
//! line. The window of tokens has models of its own. Bounds of 2 and 1: a call that joins reads wheels and five lanes.

use crate::sync::{model, thread};
use crate::tests::pairs::{Waiter, go_on};
use crate::time::ManualClock;
use crate::{Limiter, LimiterAcquireOwned, LimiterBuilder, OwnedLimiterPermit, Rate, Usage};
use core::time::Duration;

const WINDOW: Duration = Duration::from_nanos(10);

/// By a clock that stands still: only those that give tokens back help.
fn limiter(limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> Limiter {
    let builder = limits(Limiter::builder().margin(Duration::ZERO));
    builder.clock(ManualClock::new()).build()
}

fn call(limiter: &Limiter, input: u64, output: u64) -> Option<OwnedLimiterPermit> {
    limiter.call().tokens(Usage::new(input, output)).try_acquire_owned().ok()
}

/// A call that is polled once, and then when it is woken.
fn acquire(limiter: &Limiter, input: u64, output: u64) -> Waiter<LimiterAcquireOwned> {
    Waiter::new(0, limiter.call().tokens(Usage::new(input, output)).acquire_owned())
}

fn went(call: &Waiter<LimiterAcquireOwned>) -> bool {
    matches!(call.output, Some(Ok(_)))
}

/// The call joins while the other thread makes room for it: it finds the room, or is woken.
fn assert_served_while(
    limiter: &Limiter,
    makes_room: impl FnOnce() + Send + 'static,
    joins: impl FnOnce(&Limiter) -> Waiter<LimiterAcquireOwned>,
) {
    let other = thread::spawn(makes_room);
    let mut call = joins(limiter);
    other.join().unwrap();
    go_on([&mut call].into_iter());
    assert!(went(&call), "it waits though its tokens are there");
    drop(call);
    assert_eq!(limiter.waiters(), 0);
}

/// Broken by: `look_for_tokens_again` that does nothing; `Budgets::settle_each` that returns false.
#[test]
fn model_a_call_joins_while_another_is_settled() {
    model(2, || {
        let limiter = limiter(|builder| builder.output_tokens(3, WINDOW));
        let running = call(&limiter, 0, 3).unwrap();
        let settles = move || running.settle(Usage::new(0, 1));
        assert_served_while(&limiter, settles, |limiter| acquire(limiter, 0, 2));
        assert_eq!(limiter.remaining_output_tokens(), 0);
    });
}

/// Broken by: as above.
#[test]
fn model_a_call_joins_while_another_is_cancelled() {
    model(2, || {
        let limiter = limiter(|builder| builder.tokens(3, WINDOW));
        let running = call(&limiter, 3, 0).unwrap();
        assert_served_while(&limiter, move || running.cancel(), |limiter| acquire(limiter, 2, 0));
        assert_eq!(limiter.remaining_tokens(), 1);
    });
}

/// Broken by: `Core::set_token_limit` that wakes nobody.
#[test]
fn model_a_call_joins_while_the_limit_is_raised() {
    model(2, || {
        let limiter = limiter(|builder| builder.tokens(3, WINDOW));
        drop(call(&limiter, 3, 0).unwrap());
        let there = limiter.clone();
        let raises = move || there.set_token_limit(0, 6).unwrap();
        assert_served_while(&limiter, raises, |limiter| acquire(limiter, 2, 0));
        assert_eq!(limiter.remaining_tokens(), 1);
    });
}

/// The large call waits for more than there is, and the small one behind it fits. Broken by: `Place` that looks for
/// nobody when it is dropped.
#[test]
fn model_a_large_call_leaves_while_a_small_one_looks() {
    model(1, || {
        let limiter = limiter(|builder| builder.tokens(3, WINDOW));
        let _running = call(&limiter, 2, 0).unwrap();
        let large = acquire(&limiter, 3, 0);
        assert!(!large.is_over());
        assert_served_while(&limiter, move || drop(large), |limiter| acquire(limiter, 1, 0));
        assert_eq!(limiter.remaining_tokens(), 0);
    });
}

/// Both fit in one limit, and only one of them in the other: one goes, and leaves the other's tokens alone. Broken by:
/// `Budgets::reserve` without the cancellation.
#[test]
fn model_two_calls_that_each_need_two_budgets() {
    model(3, || {
        let limiter = limiter(|builder| builder.input_tokens(4, WINDOW).output_tokens(3, WINDOW));
        let there = limiter.clone();
        let other = thread::spawn(move || call(&there, 2, 2));
        let went = [call(&limiter, 1, 2), other.join().unwrap()];
        assert!(went[0].is_some() != went[1].is_some(), "not exactly one goes");
        let input = if went[0].is_some() { 1 } else { 2 };
        assert_eq!(limiter.remaining_input_tokens(), 4 - input);
        assert_eq!(limiter.remaining_output_tokens(), 1);
        went.into_iter().flatten().for_each(OwnedLimiterPermit::cancel);
        assert_eq!(limiter.remaining_input_tokens(), 4);
        assert_eq!(limiter.remaining_output_tokens(), 3);
    });
}

/// The other call takes its tokens in both limits and gives them back while this one joins, which needs the same: one after the
/// other they fit. Broken by: `look_for_tokens_again` that does nothing.
#[test]
fn model_two_calls_go_one_after_the_other_through_two_budgets() {
    model(1, || {
        let limiter = limiter(|builder| builder.input_tokens(3, WINDOW).output_tokens(3, WINDOW));
        let there = limiter.clone();
        let other = thread::spawn(move || call(&there, 2, 2).map(OwnedLimiterPermit::cancel));
        let mut ours = acquire(&limiter, 2, 2);
        let theirs = other.join().unwrap();
        go_on([&mut ours].into_iter());
        assert!(went(&ours), "it waits though its tokens are there: {theirs:?}");
        assert_eq!(limiter.remaining_input_tokens(), 1);
        assert_eq!(limiter.remaining_output_tokens(), 1);
    });
}

/// Both have their tokens, and the rate has room for one: the other one gives its tokens back. Broken by: `Tokens::drop`
/// that gives nothing back.
#[test]
fn model_the_rate_refuses_a_call_that_has_its_tokens() {
    model(3, || {
        let limiter = limiter(|builder| builder.rate(Rate::new(1, WINDOW)).tokens(4, WINDOW));
        let there = limiter.clone();
        let other = thread::spawn(move || call(&there, 2, 0).is_some());
        let ours = call(&limiter, 2, 0).is_some();
        assert!(ours != other.join().unwrap(), "not exactly one goes");
        assert_eq!(limiter.remaining_tokens(), 2);
    });
}

// ---- beside a rate and slots ---------------------------------------------------------------------

/// One slot, and two calls in any window.
fn one_at_a_time() -> Limiter {
    limiter(|builder| {
        let builder = builder.rate(Rate::new(2, WINDOW)).max_concurrent(1);
        builder.output_tokens(3, WINDOW)
    })
}

/// Both have their tokens, and there is one slot: the other one gives its tokens back. Broken by: `Tokens::drop` that gives
/// nothing back.
#[test]
fn model_a_slot_refuses_a_call_that_has_its_tokens() {
    model(3, || {
        let limiter = limiter(|builder| builder.max_concurrent(1).output_tokens(4, WINDOW));
        let there = limiter.clone();
        let other = thread::spawn(move || call(&there, 0, 2));
        let went = [call(&limiter, 0, 2), other.join().unwrap()];
        assert!(went[0].is_some() != went[1].is_some(), "not exactly one goes");
        assert_eq!((limiter.available_permits(), limiter.remaining_output_tokens()), (0, 2));
        went.into_iter().flatten().for_each(OwnedLimiterPermit::cancel);
        assert_eq!((limiter.available_permits(), limiter.remaining_output_tokens()), (1, 4));
    });
}

/// Two calls, each of which has a slot and tokens, and a rate for one of them: the other one gives both back. Broken by:
/// `Tokens::drop` that gives nothing back.
#[test]
fn model_the_rate_refuses_a_call_that_has_its_slot_and_tokens() {
    model(3, || {
        let limiter = limiter(|builder| {
            builder.rate(Rate::new(1, WINDOW)).max_concurrent(2).output_tokens(4, WINDOW)
        });
        let there = limiter.clone();
        let other = thread::spawn(move || call(&there, 0, 2));
        let went = [call(&limiter, 0, 2), other.join().unwrap()];
        assert!(went[0].is_some() != went[1].is_some(), "not exactly one goes");
        assert_eq!((limiter.available_permits(), limiter.remaining_output_tokens()), (1, 2));
        assert_eq!(limiter.remaining(), 0);
    });
}

/// Settled, a call frees tokens first and its slot second. (The slot wakes the next call even if the tokens do not.)
#[test]
fn model_a_call_joins_while_tokens_and_then_a_slot_become_free() {
    model(1, || {
        let limiter = one_at_a_time();
        let running = call(&limiter, 0, 3).unwrap();
        let settles = move || running.settle(Usage::new(0, 1));
        assert_served_while(&limiter, settles, |limiter| acquire(limiter, 0, 2));
        assert_eq!((limiter.available_permits(), limiter.remaining()), (1, 0));
        assert_eq!(limiter.remaining_output_tokens(), 0);
    });
}

/// As before, but the slot first.
#[test]
fn model_a_call_joins_while_a_slot_and_then_tokens_become_free() {
    model(1, || {
        let limiter = one_at_a_time();
        let running = call(&limiter, 0, 3).unwrap();
        let settles = move || running.release_slot().settle(Usage::new(0, 1));
        assert_served_while(&limiter, settles, |limiter| acquire(limiter, 0, 2));
        assert_eq!((limiter.available_permits(), limiter.remaining()), (1, 0));
        assert_eq!(limiter.remaining_output_tokens(), 0);
    });
}

/// A call gives up in line while what it waits for becomes free: the next one gets both.
#[test]
fn model_a_call_gives_up_while_a_slot_and_tokens_become_free() {
    model(1, || {
        let limiter = one_at_a_time();
        let running = call(&limiter, 0, 3).unwrap();
        let (first, mut second) = (acquire(&limiter, 0, 2), acquire(&limiter, 0, 1));
        let other = thread::spawn(move || running.settle(Usage::new(0, 1)));
        drop(first);
        other.join().unwrap();
        go_on([&mut second].into_iter());
        assert!(went(&second), "it waits though its slot and tokens are there");
        drop(second);
        assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
        assert_eq!((limiter.remaining(), limiter.remaining_output_tokens()), (0, 1));
    });
}
