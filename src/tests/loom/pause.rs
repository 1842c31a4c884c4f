//! A pause under loom: it begins, ends and is cleared while calls look, join and leave.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{model, thread};
use crate::tests::pairs::{Waiter, go_on};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{Limit, Limiter, LimiterAcquireOwned, LimiterBuilder, Rate};
use core::time::Duration;
use std::sync::Arc;

const WINDOW: Duration = Duration::from_nanos(10);
const LONGER: Duration = Duration::from_nanos(40);

pub(super) type Call = Waiter<LimiterAcquireOwned>;

fn slots() -> LimiterBuilder {
    Limiter::builder().max_concurrent(1)
}

fn rate() -> LimiterBuilder {
    Limiter::builder().margin(Duration::ZERO).rate(Rate::new(3, WINDOW))
}

fn by_hand(builder: LimiterBuilder) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    (builder.clock(clock.clone()).build(), clock)
}

pub(super) fn joins(limiter: &Limiter) -> Call {
    Waiter::new(0, limiter.acquire_owned())
}

pub(super) fn went(call: &Call) -> bool {
    matches!(call.output, Some(Ok(_)))
}

/// Both threads write here first, so that loom lets either be first: it would not reorder what begins with a load.
#[derive(Clone, Default)]
struct Whistle(Arc<AtomicU64>);

impl Whistle {
    fn blow(&self) {
        // ORDERING: Relaxed: it publishes nothing.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// On another thread. The caller's next step comes before it, beside it or after it.
pub(super) fn elsewhere(
    limiter: &Limiter,
    work: impl FnOnce(&Limiter) + Send + 'static,
) -> thread::JoinHandle<()> {
    let (limiter, whistle) = (limiter.clone(), Whistle::default());
    let there = whistle.clone();
    let other = thread::spawn(move || {
        there.blow();
        work(&limiter);
    });
    whistle.blow();
    other
}

#[track_caller]
fn assert_goes(mut call: Call, why: &str) {
    go_on([&mut call].into_iter());
    assert!(went(&call), "it waits {why}");
}

/// Each goes before the pause, or when that is over. Caught: a pause that `sleep` does not look at.
#[test]
fn model_a_call_joins_while_a_pause_begins() {
    model(3, || {
        let (limiter, clock) = by_hand(rate().max_concurrent(2));
        let other = elsewhere(&limiter, |limiter| limiter.pause(WINDOW));
        let calls = [joins(&limiter), joins(&limiter)];
        other.join().unwrap();
        assert!(went(&calls[0]) || !went(&calls[1]), "the second one passed the first");
        clock.advance(WINDOW);
        calls.into_iter().for_each(|call| assert_goes(call, "though the pause is over"));
    });
}

/// It finds the room, or is woken. Caught: `Core::resume` that wakes nobody; `Gate::change` with a load.
#[test]
fn model_a_call_joins_while_a_pause_is_ended() {
    for builder in [slots, rate] {
        model(2, move || {
            let (limiter, _clock) = by_hand(builder());
            limiter.pause(LONGER);
            let other = elsewhere(&limiter, Limiter::resume);
            let call = joins(&limiter);
            other.join().unwrap();
            assert_goes(call, "though the pause has been ended");
        });
    }
}

/// The first in line looks, and its task has changed. The second one goes as well.
/// Caught: `Core::resume` that wakes nobody.
#[test]
fn model_the_first_in_line_looks_while_a_pause_is_ended() {
    model(1, || {
        let (limiter, _clock) = by_hand(rate());
        limiter.pause(LONGER);
        let (mut first, second) = (joins(&limiter), joins(&limiter));
        let other = elsewhere(&limiter, Limiter::resume);
        first.poll_anew();
        other.join().unwrap();
        let mut calls = [first, second];
        go_on(calls.iter_mut());
        assert!(calls.iter().all(went), "one waits though the pause has been ended");
    });
}

/// A slot is freed and the pause ends: the call goes, and no time passes. Caught: as above.
#[test]
fn model_a_slot_becomes_free_while_a_pause_is_ended() {
    model(2, || {
        let (limiter, _clock) = by_hand(slots());
        let running = limiter.try_acquire_owned().unwrap();
        limiter.pause(LONGER);
        let call = joins(&limiter);
        let other = elsewhere(&limiter, Limiter::resume);
        drop(running);
        other.join().unwrap();
        assert_goes(call, "though a slot is free and the pause has been ended");
    });
}

/// One pause is over and a call clears it while another one begins: that one is not lost.
/// Caught: a store in the place of the exchange in `Pause::look`.
#[test]
fn model_a_pause_that_is_over_is_cleared_while_a_longer_one_begins() {
    model(3, || {
        let (limiter, clock) = by_hand(slots());
        limiter.pause(WINDOW);
        clock.advance(WINDOW);
        let other = elsewhere(&limiter, |limiter| limiter.pause(LONGER));
        let tried = limiter.try_acquire();
        other.join().unwrap();
        if let Err(refused) = tried {
            assert_eq!((refused.limit(), refused.retry_after()), (Limit::Paused, Some(LONGER)));
        }
        assert_eq!(limiter.paused_for(), Some(LONGER));
    });
}

/// Caught: `Pause::extend` that stores.
#[test]
fn model_two_pauses_begin_and_the_longer_one_holds() {
    model(3, || {
        let (limiter, _clock) = by_hand(slots());
        let other = elsewhere(&limiter, |limiter| limiter.pause(LONGER));
        limiter.pause(WINDOW);
        assert!(limiter.paused_for().is_some_and(|left| left == WINDOW || left == LONGER));
        other.join().unwrap();
        assert_eq!(limiter.paused_for(), Some(LONGER));
    });
}

/// Whichever comes first, the call goes when what is left of the pause is over.
/// Caught: `Core::resume` that wakes nobody.
#[test]
fn model_a_pause_is_ended_while_another_one_begins() {
    model(3, || {
        let (limiter, clock) = by_hand(slots());
        limiter.pause(LONGER);
        let call = joins(&limiter);
        let other = elsewhere(&limiter, Limiter::resume);
        limiter.pause(WINDOW);
        other.join().unwrap();
        let left = limiter.paused_for();
        assert!(left.is_none_or(|left| left == WINDOW), "{left:?}");
        clock.advance(left.unwrap_or_default());
        assert_goes(call, "though no pause is left");
    });
}

/// After a jump another pause begins: whoever sees it sees by what time it was set. Caught: a Relaxed load of the end, or
/// store.
#[test]
fn model_a_pause_is_seen_with_the_time_by_which_it_was_set() {
    model(3, || {
        let (limiter, clock) = by_hand(slots());
        let other = elsewhere(&limiter, move |limiter| {
            clock.set(Timestamp::from_nanos(5_000_000_000));
            limiter.pause(WINDOW);
            clock.set(Timestamp::ZERO);
            limiter.pause(LONGER);
        });
        let left = limiter.paused_for();
        assert!(left <= Some(LONGER), "{left:?}");
        other.join().unwrap();
        assert_eq!(limiter.paused_for(), Some(LONGER));
    });
}

/// One thread notices a jump by a time that it has seen; another one that sees so sees that time, too. Caught: Relaxed loads
/// of the offset or of the newest reading, or stores.
#[test]
fn model_a_jump_back_in_a_pause_is_seen_with_the_time_before_it() {
    const NOW: Timestamp = Timestamp::from_nanos(1);
    const PASSED: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_secs(100);
    const REST: Duration = Duration::from_secs(95);
    model(3, || {
        let (limiter, clock) = by_hand(slots());
        limiter.pause(PAUSE);
        let here = clock.clone();
        let other = elsewhere(&limiter, move |limiter| {
            clock.set(Timestamp::from_epoch(PASSED));
            assert_eq!(limiter.paused_for(), Some(REST));
            clock.set(NOW);
            assert_eq!(limiter.paused_for(), Some(REST));
        });
        let before = here.now();
        let left = limiter.paused_for();
        assert!(left < Some(PAUSE) || before == Timestamp::ZERO, "{left:?} left at {before:?}");
        other.join().unwrap();
        assert_eq!(limiter.paused_for(), Some(REST));
    });
}

/// Both notice the jump, and the pause is moved once. Caught: an addition to the offset in the place of the exchange.
#[test]
fn model_a_jump_back_in_a_pause_is_noticed_by_two() {
    model(2, || {
        let (limiter, clock) = by_hand(slots());
        clock.set(Timestamp::from_nanos(5_000_000_000));
        limiter.pause(LONGER);
        clock.set(Timestamp::ZERO);
        let other = elsewhere(&limiter, |limiter| {
            assert_eq!(limiter.paused_for(), Some(LONGER));
        });
        assert_eq!(limiter.paused_for(), Some(LONGER));
        other.join().unwrap();
        clock.advance(LONGER - Duration::from_nanos(1));
        assert_eq!(limiter.paused_for(), Some(Duration::from_nanos(1)));
        clock.advance(Duration::from_nanos(1));
        assert!(limiter.try_acquire().is_ok());
    });
}
