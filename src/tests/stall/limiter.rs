//! The limiter, and the clock of the tests, with one stalled thread.

use super::harness::{SECOND, Waiter, at_every_step, every_pair, poll_once, scene};
use crate::tests::pairs::{limiter as own, shared};
use crate::time::{Clock, ManualClock};
use crate::{Limiter, Rate};
use std::time::Duration;

#[test]
fn freeze_every_operation_against_every_other() {
    every_pair("limiter", own::STARTS, own::OPERATIONS);
}

#[test]
fn freeze_every_operation_against_every_other_with_shared_slots() {
    every_pair("limiter with shared slots", shared::STARTS, shared::OPERATIONS);
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
