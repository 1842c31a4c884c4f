//! Stops and slow starts under loom: they begin and end while calls join, look and go.

use super::pause::{
    Call, LONGER, WINDOW, assert_goes, by_hand, elsewhere, joins, rate, slots, went,
};
use crate::sync::model;
use crate::tests::pairs::go_on;
use crate::{Limit, Limiter, Refused, StopReason};

const REASON: StopReason = StopReason::SpendLimit;

fn stop(limiter: &Limiter) {
    limiter.stop(REASON, None);
}

fn is_by_stop(refused: Refused) -> bool {
    refused.limit() == Limit::Stopped(REASON)
}

fn was_told(call: &Call) -> bool {
    matches!(&call.output, Some(Err(refused)) if is_by_stop(*refused))
}

/// No slot is free: it is told, and does not wait. Caught: `Core::stop` that wakes nobody.
#[test]
fn model_a_call_joins_while_all_are_stopped() {
    model(2, || {
        let (limiter, _clock) = by_hand(slots());
        let running = limiter.try_acquire_owned().unwrap();
        let other = elsewhere(&limiter, stop);
        let mut call = joins(&limiter);
        other.join().unwrap();
        go_on([&mut call].into_iter());
        assert!(was_told(&call), "it waits though all calls are stopped");
        drop(running);
    });
}

/// The second one is told as well, whether the first has a turn, looks, or has gone. Caught: as above.
#[test]
fn model_a_slot_becomes_free_while_all_are_stopped() {
    model(1, || {
        let (limiter, _clock) = by_hand(slots());
        let running = limiter.try_acquire_owned().unwrap();
        let calls = [joins(&limiter), joins(&limiter)];
        let other = elsewhere(&limiter, stop);
        drop(running);
        other.join().unwrap();
        let mut calls = calls;
        go_on(calls.iter_mut());
        assert!(calls.iter().all(|call| went(call) || was_told(call)), "one of them waits");
        assert!(was_told(&calls[1]));
    });
}

/// Afterwards nothing is left of it, and whoever was not told goes. Caught: `Core::resume` that wakes nobody.
#[test]
fn model_a_stop_begins_while_another_one_ends() {
    model(2, || {
        let (limiter, _clock) = by_hand(slots());
        limiter.pause(LONGER);
        let call = joins(&limiter);
        let other = elsewhere(&limiter, |limiter| {
            stop(limiter);
            limiter.resume();
        });
        let tried = limiter.try_acquire();
        other.join().unwrap();
        // A try that looked while all were stopped, and went after that, is between the two.
        drop(tried);
        assert_eq!((limiter.stopped(), limiter.paused_for()), (None, None));
        let mut calls = [call];
        go_on(calls.iter_mut());
        assert!(went(&calls[0]) || was_told(&calls[0]), "it waits though nothing stops it");
        drop(calls);
        assert!(limiter.try_acquire().is_ok());
    });
}

/// Both hold. Caught: `Pause::extend` that stores.
#[test]
fn model_a_stop_and_a_longer_pause_begin() {
    model(3, || {
        let (limiter, _clock) = by_hand(slots());
        let other = elsewhere(&limiter, |limiter| limiter.pause(LONGER));
        limiter.stop(REASON, WINDOW);
        other.join().unwrap();
        assert_eq!((limiter.stopped(), limiter.paused_for()), (Some(REASON), Some(LONGER)));
    });
}

/// Caught: `pass` that claims nothing.
#[test]
fn model_two_calls_come_in_a_slow_start_and_one_goes() {
    model(3, || {
        let (limiter, clock) = by_hand(rate().max_concurrent(3));
        limiter.resume_over(LONGER);
        let other = elsewhere(&limiter, |limiter| drop(limiter.try_acquire()));
        let tried = limiter.try_acquire();
        other.join().unwrap();
        // The window has room for three.
        assert_eq!(limiter.remaining(), 2, "not one went");
        if let Err(refused) = &tried {
            assert_eq!(refused.limit(), Limit::Paused);
        }
        drop(tried);
        let left = limiter.paused_for().expect("nobody waits for the next one");
        clock.advance(left);
        assert!(limiter.try_acquire().is_ok());
    });
}

/// The pause is not lost. Caught: a store in the place of the exchange in `pass`.
#[test]
fn model_a_call_goes_in_a_slow_start_while_a_pause_begins() {
    model(3, || {
        let (limiter, clock) = by_hand(rate());
        limiter.resume_over(LONGER);
        let other = elsewhere(&limiter, |limiter| limiter.pause(LONGER));
        let tried = limiter.try_acquire().map(drop);
        other.join().unwrap();
        assert_eq!(limiter.paused_for(), Some(LONGER));
        if let Err(refused) = tried {
            assert_eq!(refused.retry_after(), Some(LONGER));
        }
        clock.advance(LONGER);
        assert!(limiter.try_acquire().is_ok());
        assert!(limiter.try_acquire().is_err(), "the slow start is forgotten");
    });
}

/// Caught: a store in the place of the exchange in `pass`.
#[test]
fn model_a_call_goes_in_a_slow_start_while_that_is_ended() {
    model(3, || {
        let (limiter, _clock) = by_hand(rate());
        limiter.resume_over(LONGER);
        let other = elsewhere(&limiter, Limiter::resume);
        assert!(limiter.try_acquire().is_ok());
        other.join().unwrap();
        if let Err(refused) = limiter.try_acquire() {
            panic!("it is not over: {refused:?} {limiter:?}");
        }
    });
}

/// Those in line go one after another: whoever waits is woken in time. Caught: a slow start that wakes nobody; one whose call leaves
/// without a look for the next one.
#[test]
fn model_a_call_joins_while_a_slow_start_begins() {
    model(2, || {
        let (limiter, clock) = by_hand(rate());
        limiter.pause(LONGER);
        let first = joins(&limiter);
        let other = elsewhere(&limiter, |limiter| limiter.resume_over(WINDOW));
        let second = joins(&limiter);
        other.join().unwrap();
        let mut calls = [first, second];
        go_on(calls.iter_mut());
        assert!(went(&calls[0]) && !went(&calls[1]), "not one went");
        clock.advance(limiter.paused_for().expect("the second may go"));
        let [_, second] = calls;
        assert_goes(second, "though it is its time");
    });
}
