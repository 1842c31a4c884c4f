//! The limiter, and the clock of the tests, with one stalled thread.

use super::harness::{SECOND, Waiter, at_every_step, every_pair, poll_once, scene};
use crate::tests::pairs::{self, budgets, go_on, limiter as own, shared};
use crate::time::{Clock, ManualClock};
use crate::{Limiter, Rate, Usage};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn freeze_every_operation_against_every_other() {
    every_pair("limiter", own::STARTS, own::OPERATIONS);
}

#[test]
fn freeze_every_operation_against_every_other_with_shared_slots() {
    every_pair("limiter with shared slots", shared::STARTS, shared::OPERATIONS);
}

#[test]
fn freeze_every_operation_against_every_other_with_tokens() {
    every_pair("limiter with tokens", budgets::STARTS, budgets::OPERATIONS);
}

fn limiter(limit: u32, slots: usize) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let builder = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_second(limit))
        .max_concurrent(slots);
    (builder.clock(clock.clone()).build(), clock)
}

#[test]
fn freeze_an_admission_and_its_end() {
    at_every_step("limiter: acquire, release", || {
        let (limiter, clock) = limiter(5, 2);
        let [first, second, third] = [(); 3].map(|()| limiter.clone());
        scene(
            move || drop(first.try_acquire()),
            move || {
                for _ in 0..4 {
                    drop(second.try_acquire().unwrap());
                }
                clock.advance(SECOND);
                for _ in 0..4 {
                    drop(second.try_acquire().unwrap());
                }
            },
            move || {
                assert_eq!(third.available_permits(), 2);
                assert!(third.remaining() <= 1);
            },
        )
    });
}

#[test]
fn freeze_an_end_that_others_wait_for() {
    at_every_step("limiter: release to a waiting call", || {
        let (limiter, _) = limiter(9, 2);
        let ends = [limiter.try_acquire_owned().unwrap(), limiter.try_acquire_owned().unwrap()];
        let [first, second] = ends;
        let waiting = limiter.clone();
        let waiting = Waiter::new(async move { waiting.acquire_owned().await });
        scene(
            move || drop(first),
            move || {
                drop(second);
                drop(waiting.ready().unwrap());
            },
            move || assert_eq!((limiter.available_permits(), limiter.waiters()), (2, 0)),
        )
    });
}

#[test]
fn freeze_a_call_that_gives_up_in_line() {
    at_every_step("limiter: acquire behind others, cancel", || {
        let (limiter, clock) = limiter(1, 2);
        drop(limiter.try_acquire().unwrap());
        let own = |limiter: &Limiter| {
            let limiter = limiter.clone();
            async move { limiter.acquire_owned().await }
        };
        let (head, stops) = (Waiter::new(own(&limiter)), own(&limiter));
        let second = limiter.clone();
        scene(
            move || drop(poll_once(stops)),
            move || {
                clock.advance(SECOND);
                drop(head.ready().unwrap());
                assert!(second.try_acquire().is_err());
            },
            move || assert_eq!((limiter.available_permits(), limiter.waiters()), (2, 0)),
        )
    });
}

/// The head hears of another thread's change although the first changer has stalled.
#[test]
fn freeze_a_change_that_the_first_in_line_waits_for() {
    at_every_step("limiter: set_rate, with a call in line", || {
        let (limiter, _) = limiter(1, 2);
        drop(limiter.try_acquire().unwrap());
        let waiting = limiter.clone();
        let waiting = Waiter::new(async move { waiting.acquire_owned().await });
        let (first, second) = (limiter.clone(), limiter.clone());
        scene(
            move || first.set_rate(Rate::per_second(2)).unwrap(),
            move || {
                second.set_rate(Rate::per_second(3)).unwrap();
                drop(waiting.ready().unwrap());
            },
            move || assert_eq!((limiter.available_permits(), limiter.waiters()), (2, 0)),
        )
    });
}

/// Whatever step it stops at, it has at most its own tokens, and a call gets through beside it. (In the middle of a settlement
/// as produced these are those held and those used.)
#[test]
fn freeze_a_call_that_needs_tokens_and_its_settlement() {
    at_every_step("limiter: acquire tokens of two budgets, settle", || {
        let builder = Limiter::builder().margin(Duration::ZERO).clock(ManualClock::new());
        let builder = builder.rate(Rate::per_second(9)).max_concurrent(2);
        // Few slots, so that all steps can be tried.
        let window = Duration::from_micros(3);
        let limiter = builder.input_tokens(10, window).output_tokens(12, window).build();
        let [first, second, third] = [(); 3].map(|()| limiter.clone());
        scene(
            move || {
                let call = first.call().tokens(Usage::new(4, 4)).try_acquire().unwrap();
                call.settle(Usage::new(3, 2));
            },
            move || {
                let call = second.call().tokens(Usage::new(6, 6)).try_acquire().unwrap();
                call.settle(Usage::new(6, 5));
                assert!(second.remaining_input_tokens() <= 4);
                assert!(second.remaining_output_tokens() <= 7);
                drop(second.try_acquire().unwrap());
            },
            move || {
                assert_eq!((third.available_permits(), third.waiters()), (2, 0));
                assert_eq!(third.remaining_input_tokens(), 1);
                assert_eq!(third.remaining_output_tokens(), 5);
            },
        )
    });
}

/// It has found room in both limits, and then too little in the second one. What it gives back goes to a call that has come
/// meanwhile. Broken by: `Core::reserve` that looks for nobody then; `Budgets::reserve` that gives nothing back.
#[test]
fn freeze_a_call_that_gives_back_what_it_has_of_two_budgets() {
    at_every_step("limiter: acquire tokens of two budgets, in vain", || {
        let builder = Limiter::builder().margin(Duration::ZERO).clock(ManualClock::new());
        let window = Duration::from_micros(3);
        let limiter = builder.input_tokens(1, window).output_tokens(1, window).build();
        let [first, second] = [limiter.clone(), limiter.clone()];
        let call = |limiter: &Limiter, input, output| {
            limiter.call().tokens(Usage::new(input, output)).acquire_owned()
        };
        let joins = Arc::new(Mutex::new(None));
        let joined = Arc::clone(&joins);
        scene(
            move || drop(first.call().tokens(Usage::new(1, 1)).try_acquire()),
            move || {
                let output = second.call().output_tokens(1).try_acquire_owned();
                let input = pairs::Waiter::new(0, call(&second, 1, 0));
                *joins.lock().unwrap() = Some((output, input));
            },
            move || {
                let (output, mut input) = joined.lock().unwrap().take().unwrap();
                go_on([&mut input].into_iter());
                // If the other limit refused the second call, the first one has gone.
                assert!(input.is_over() || output.is_err(), "it waits though its tokens are there");
                drop((output, input));
                assert_eq!(limiter.waiters(), 0);
            },
        )
    });
}

/// The stalled thread reads a clock that others move.
#[test]
fn freeze_a_change_of_time() {
    at_every_step("manual clock: advance", || {
        let (clock, sleeper) = (ManualClock::new(), ManualClock::clone);
        let sleeps = Waiter::new(clock.sleep_until(clock.now().saturating_add(SECOND)));
        let (first, second) = (sleeper(&clock), sleeper(&clock));
        scene(
            move || first.advance(SECOND / 2),
            move || {
                let late = Waiter::new(second.sleep_until(second.now().saturating_add(SECOND)));
                second.advance(SECOND);
                late.ready();
            },
            move || sleeps.ready(),
        )
    });
}
