//! Former faults of the order in which calls go that found no room at their turns. Each test is named after one.

use crate::common::poll_once;
use crate::line::queued;
use ringgate::time::ManualClock;
use ringgate::{Limiter, LimiterAcquire, Rate};
use std::pin::Pin;
use std::time::Duration;

type Call<'a> = Pin<Box<LimiterAcquire<'a>>>;

const MINUTE: Duration = Duration::from_secs(60);

/// One call a minute, which was used.
fn used_up() -> Limiter {
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, MINUTE));
    let limiter = builder.clock(ManualClock::new()).build();
    drop(limiter.try_acquire().unwrap());
    limiter
}

/// Turns for some calls, and no room any more before they are polled: the rate was raised for a moment.
fn turns_in_vain(limiter: &Limiter, turns: u32) {
    limiter.set_rate(Rate::new(1 + turns, MINUTE)).unwrap();
    limiter.set_rate(Rate::new(1, MINUTE)).unwrap();
}

fn is_admitted(call: &mut Call<'_>) -> bool {
    poll_once(call.as_mut()).is_ready()
}

/// The first of several that had found no room twice was given the next turn alone, found no room, and waited behind the second one.
/// Broken by: `Core::hand_out_in` that gives turns to some of those that wait late.
#[test]
fn a_call_that_had_turns_in_vain_again_and_again_fell_behind_a_younger_one() {
    for vain in 2..6 {
        let limiter = used_up();
        let mut calls: Vec<Call<'_>> = (0..5).map(|_| queued(&limiter)).collect();
        // All, then some, then the first alone.
        for turns in (1..=vain).rev() {
            turns_in_vain(&limiter, turns);
            let polled = calls.iter_mut().any(is_admitted);
            assert!(!polled, "there is no room");
        }
        for nth in 0..5 {
            limiter.set_rate(Rate::new(2 + nth, MINUTE)).unwrap();
            let went = calls.iter_mut().position(is_admitted);
            assert_eq!(went, Some(0), "call {nth} of those that had {vain} turns");
            drop(calls.remove(0));
        }
    }
}
