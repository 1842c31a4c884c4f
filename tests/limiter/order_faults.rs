//! Former faults of the order in which calls go that found no room at their turns. Each test is named after one.

use crate::bells::{Bells, Woken, goes_within, limiter};
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

// ---- found by a reader --------------------------------------------------------------------------------

const SECOND: Duration = Duration::from_secs(1);

fn sleeps(call: &mut Woken<'_>) {
    assert!(call.run(9).is_none());
}

/// The slot was freed for one that had a turn, and that one found the limiter paused. Broken by: `Core::turns_for` that leaves nothing for
/// later if there is room, but for those that have a turn.
#[test]
fn a_call_that_waited_for_a_slot_slept_on_after_the_one_behind_it_had_found_no_room() {
    let bells = Bells::default();
    let builder = Limiter::builder().max_concurrent(1).grace(Duration::from_secs(3600));
    let limiter = builder.clock(bells.clone()).build();
    let permit = limiter.try_acquire().unwrap();
    let [mut first, mut second] = [(); 2].map(|()| Woken::waits(&limiter, 0, 0));
    for _ in 0..2 {
        limiter.pause(SECOND);
        limiter.resume();
    }
    assert!(first.is_woken() && second.is_woken());
    sleeps(&mut first);
    drop(permit);
    limiter.pause(SECOND);
    sleeps(&mut second);
    sleeps(&mut first);
    assert_eq!(goes_within(&bells, &mut first, 2 * SECOND), Some(SECOND));
}

/// The older one had a turn, and was not polled yet. Broken by: a turn for one that waits behind another as soon as it has answered
/// its own.
#[test]
fn a_call_behind_one_that_waited_for_tokens_had_turn_after_turn() {
    let changes: [fn(&Limiter); 2] =
        [Limiter::resume, |limiter| limiter.set_rate(Rate::new(3, MINUTE)).unwrap()];
    for (n, change) in changes.into_iter().enumerate() {
        let (limiter, bells) = limiter(|limits| {
            let rate = if n == 0 { 10 } else { 1 };
            limits.tokens(1_000, MINUTE).rate(Rate::new(rate, MINUTE))
        });
        drop(limiter.call().input_tokens(100).try_acquire().unwrap());
        limiter.pause(if n == 0 { 20 * SECOND } else { Duration::ZERO });
        let [mut older, mut behind] = [(); 2].map(|()| Woken::waits(&limiter, 100, 0));
        sleeps(&mut older);
        sleeps(&mut behind);
        bells.advance(SECOND / 10);
        change(&limiter);
        // There is room for both, so it may go first. Else it waits for the older one.
        let polls = (0..100).take_while(|_| behind.is_woken() && behind.poll().is_pending());
        assert!(polls.count() < 5, "it wakes itself after change {n}");
        assert!(matches!(older.run(9), Some(Ok(_))), "change {n}");
        assert!(behind.run(9).is_none_or(|decided| decided.is_ok()));
        assert_eq!((limiter.waiters(), limiter.remaining_tokens()), (0, 700), "change {n}");
    }
}

/// It looked past a silent one at the very end of its timeout. Broken by: a call that lets others go first then, too.
#[test]
fn a_call_whose_time_was_over_let_its_turn_go_to_another() {
    let window = 10 * SECOND;
    let (limiter, bells) = limiter(|limits| limits.rate(Rate::new(2, window)));
    for _ in 0..2 {
        drop(limiter.try_acquire().unwrap());
    }
    let mut silent = Woken::waits(&limiter, 0, 0);
    let mut call = Woken::new(limiter.acquire_timeout(window + SECOND / 2));
    assert!(call.poll().is_pending());
    let mut behind = Woken::waits(&limiter, 0, 0);
    limiter.set_rate(Rate::new(1, window)).unwrap();
    sleeps(&mut silent);
    for at in [10_000_000_000, 10_253_906_250, 10_700_000_000] {
        bells.set(at);
        if let Some(decided) = call.run(9) {
            assert!(decided.is_ok(), "{decided:?}");
            drop(silent);
            return;
        }
        sleeps(&mut behind);
    }
    panic!("it waits on");
}

/// The oldest of several was woken by its own look, and others waited late before it. Broken by: a look in vain that wakes the call that
/// has just looked.
#[test]
fn the_first_of_several_went_behind_the_second_as_it_woke_itself() {
    let (limiter, bells) =
        limiter(|limits| limits.rate(Rate::new(3, 10 * SECOND)).max_concurrent(1));
    let permit = limiter.try_acquire().unwrap();
    let mut calls = [(); 3].map(|()| Woken::waits(&limiter, 0, 0));
    turns_for_all(&mut calls);
    for _ in 0..3 {
        limiter.pause(SECOND);
        limiter.resume();
    }
    turns_for_all(&mut calls);
    drop(permit);
    limiter.set_rate(Rate::new(1, 10 * SECOND)).unwrap();
    bells.advance(5 * SECOND);
    turns_for_all(&mut calls);
    bells.advance(5 * SECOND);
    assert_eq!(turns_for_all(&mut calls), [0]);
}

/// Polls those that are woken once each, in order, as an executor does, until none is. Returns who went.
fn turns_for_all(calls: &mut [Woken<'_>]) -> Vec<usize> {
    let mut went = Vec::new();
    while calls.iter().any(Woken::is_woken) {
        for (n, call) in calls.iter_mut().enumerate() {
            if call.is_woken() && call.poll().is_ready() {
                went.push(n);
            }
        }
    }
    went
}
