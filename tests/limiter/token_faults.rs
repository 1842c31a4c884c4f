//! Faults that a reader found in limits on tokens.

use crate::bells::{GRACE, Woken, goes_within, limiter};
use crate::common::poll_once;
use ringgate::time::ManualClock;
use ringgate::{Limit, Limiter, Priority, Rate, Semaphore, TokenLimit, Usage};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const MINUTE: Duration = s(60);
const GRAIN: Duration = ms(180);

// ---- those behind a silent call ------------------------------------------------------------------

/// The first one is silent when a settlement makes room for one of them.
#[test]
fn a_settlement_reaches_the_call_behind_a_silent_one() {
    for held in [true, false] {
        let (limiter, bells) = limiter(|builder| {
            if held { builder.output_tokens(1_000, MINUTE) } else { builder.tokens(1_000, s(3600)) }
        });
        let permit = limiter.call().output_tokens(1_000).try_acquire_owned().unwrap();
        let _silent = Woken::waits(&limiter, 0, 900);
        let mut next = Woken::waits(&limiter, 0, 900);
        bells.advance(s(10));
        assert!(next.run(100).is_none());
        permit.cancel();
        let late = goes_within(&bells, &mut next, s(3000));
        assert!(late.is_some_and(|late| late <= GRACE), "held: {held}, {late:?}");
    }
}

/// The same by a higher limit.
#[test]
fn a_higher_limit_reaches_the_call_behind_a_silent_one() {
    let (limiter, bells) = limiter(|builder| builder.tokens(1_000, s(3600)));
    drop(limiter.call().output_tokens(1_000).try_acquire_owned().unwrap());
    let _silent = Woken::waits(&limiter, 0, 900);
    let mut next = Woken::waits(&limiter, 0, 900);
    bells.advance(s(10));
    assert!(next.run(100).is_none());
    limiter.set_token_limit(0, 1_900).unwrap();
    let late = goes_within(&bells, &mut next, s(3000));
    assert!(late.is_some_and(|late| late <= GRACE), "{late:?}");
}

// ---- no busy loop ----------------------------------------------------------------------------------

/// Its part of the limit has become larger since it joined.
#[test]
fn a_lower_limit_does_not_make_the_first_in_line_spin() {
    let (limiter, bells) = limiter(|builder| builder.tokens(1_000, MINUTE));
    drop(limiter.call().input_tokens(600).try_acquire().unwrap());
    bells.advance(s(30));
    drop(limiter.call().input_tokens(200).try_acquire().unwrap());
    let mut call = Woken::waits(&limiter, 400, 0);
    limiter.set_token_limit(0, 500).unwrap();
    assert!(call.run(20).is_none());
    // The 600 have left: 300 of 500 are free.
    bells.advance(s(30) + GRAIN);
    assert!(call.run(20).is_none());
    let mut other = Woken::waits(&limiter, 10, 0);
    assert!(call.run(20).is_none());
    assert!(other.run(20).is_none());
    bells.advance(s(30));
    assert!(call.run(20).is_some_and(|answer| answer.is_ok()));
}

/// At the end of time there is no later look.
#[test]
fn a_call_that_waits_for_a_settlement_at_the_end_of_time_sleeps() {
    let (limiter, bells) = limiter(|builder| builder.output_tokens(1_000, MINUTE));
    bells.set(u64::MAX);
    let Ok(permit) = limiter.call().output_tokens(1_000).try_acquire_owned() else { return };
    let mut call = Woken::waits(&limiter, 0, 900);
    assert!(call.run(20).is_none());
    permit.cancel();
    assert!(call.run(20).is_some());
}

// ---- order -----------------------------------------------------------------------------------------

/// Each settlement gives back too little for the first in line. The later one's task happens to run first (tokio runs the task
/// that was woken last first).
#[test]
fn two_settlements_do_not_bring_the_second_in_line_before_the_first() {
    let (limiter, _bells) = limiter(|builder| builder.tokens(1_000, MINUTE));
    let permits: Vec<_> =
        (0..10).map(|_| limiter.call().input_tokens(100).try_acquire().unwrap()).collect();
    let mut large = Woken::waits(&limiter, 500, 0);
    let mut small: Vec<_> = (0..4).map(|_| Woken::waits(&limiter, 60, 0)).collect();
    let mut passed = 0;
    for permit in permits.into_iter().take(4) {
        permit.settle(Usage::new(30, 0));
        // Whoever was woken last is polled first, once there are two of them.
        if small.iter().any(Woken::is_woken) {
            passed += small.iter_mut().rev().filter_map(|call| call.run(20)).count();
            assert!(large.run(20).is_none());
        }
    }
    assert_eq!(passed, 0, "small calls passed a large one that answers");
}

/// The same where the tasks run in the order of their wakes.
#[test]
fn nor_if_they_are_polled_in_order() {
    let (limiter, bells) = limiter(|builder| builder.tokens(1_000, MINUTE));
    let permits: Vec<_> =
        (0..10).map(|_| limiter.call().input_tokens(100).try_acquire().unwrap()).collect();
    let low = |tokens: u64| limiter.call().priority(Priority::Low).input_tokens(tokens);
    let mut large = Woken::new(low(500).acquire());
    let mut first = Woken::new(low(10).acquire());
    assert!(first.poll().is_pending());
    assert!(large.poll().is_pending());
    let mut small: Vec<_> = (0..4).map(|_| Woken::new(low(60).acquire())).collect();
    for call in &mut small {
        assert!(call.poll().is_pending());
    }
    // An urgent one that joins last waits in front.
    let mut urgent =
        Woken::new(limiter.call().priority(Priority::High).input_tokens(100).acquire());
    assert!(urgent.poll().is_pending());
    let mut permits = permits.into_iter();
    permits.next().unwrap().settle(Usage::new(90, 0)); // room for the first only
    assert!(first.run(20).unwrap().is_ok());
    assert!(urgent.run(20).is_none());
    permits.next().unwrap().settle(Usage::new(0, 0));
    assert!(urgent.run(20).unwrap().is_ok());
    let _ = bells;
    let mut passed = 0;
    for pair in 0..3 {
        for _ in 0..2 {
            permits.next().unwrap().settle(Usage::new(40, 0));
        }
        assert!(large.run(20).is_none(), "{pair}");
        passed += small.iter_mut().filter_map(|call| call.run(20)).count();
    }
    assert_eq!(passed, 0, "small calls passed a large one that answers");
}

/// The first in line is silent, the second one answers and waits for more tokens than the third.
#[test]
fn a_small_call_does_not_pass_a_large_one_behind_a_silent_one() {
    let (limiter, bells) = limiter(|builder| builder.tokens(1_000, MINUTE));
    drop(limiter.call().input_tokens(700).try_acquire().unwrap());
    let _silent = Woken::waits(&limiter, 900, 0);
    let mut large = Woken::waits(&limiter, 800, 0);
    let mut small = Woken::waits(&limiter, 10, 0);
    while bells.now_ns() < 50_000_000_000 {
        bells.set(bells.next().unwrap());
        assert!(large.run(20).is_none());
        assert!(small.run(20).is_none(), "it passed after {} ns", bells.now_ns());
    }
    assert!(goes_within(&bells, &mut large, s(12)).is_some());
}

/// The same where both stood for a permit when the large one's tokens went: a younger call waits in front, too.
#[test]
fn a_call_that_stood_for_a_permit_does_not_pass_the_one_that_watches() {
    let semaphore = Arc::new(Semaphore::new(1));
    let (limiter, _bells) =
        limiter(|builder| builder.tokens(1_000, MINUTE).semaphore(semaphore.clone()));
    let used = limiter.call().input_tokens(100).try_acquire().unwrap();
    let mut large = Woken::waits(&limiter, 250, 0);
    let mut small = Woken::waits(&limiter, 10, 0);
    // It used more than it had said.
    used.settle(Usage::new(800, 0));
    assert!(large.run(20).is_none());
    assert!(small.run(20).is_none(), "it passed");
    assert_eq!(semaphore.available_permits(), 1);
}

// ---- clocks ----------------------------------------------------------------------------------------

/// The watch of a silent call lasts no longer after a jump back.
#[test]
fn a_jump_back_does_not_prolong_the_watch_of_a_silent_call() {
    let (limiter, bells) = limiter(|builder| builder.output_tokens(1_000, MINUTE));
    bells.set(7_200_000_000_000);
    let _permit = limiter.call().output_tokens(700).try_acquire_owned().unwrap();
    let _silent = Woken::waits(&limiter, 0, 500);
    bells.set(3_600_000_000_000);
    let mut next = Woken::waits(&limiter, 0, 10);
    let late = goes_within(&bells, &mut next, s(3000));
    assert!(late.is_some_and(|late| late <= GRACE), "{late:?}");
}

// ---- refusals --------------------------------------------------------------------------------------

/// A large call waits for tokens; the rate is open.
#[test]
fn a_small_newcomer_behind_a_large_call_is_refused_by_tokens() {
    let (limiter, _bells) =
        limiter(|builder| builder.tokens(1_000, MINUTE).rate(Rate::new(1_000, MINUTE)));
    drop(limiter.call().input_tokens(700).try_acquire().unwrap());
    let _large = Woken::waits(&limiter, 500, 0);
    let refused = limiter.call().input_tokens(10).try_acquire().unwrap_err();
    assert_eq!(refused.limit(), Limit::Tokens);
    assert!(refused.retry_after() > Some(Duration::ZERO));
}

/// The rate alone says that it is too late.
#[test]
fn a_timeout_is_refused_at_once_by_the_rate_though_tokens_are_held() {
    let (limiter, _bells) =
        limiter(|builder| builder.output_tokens(1_000, MINUTE).rate(Rate::new(1, MINUTE)));
    let _permit = limiter.call().output_tokens(700).try_acquire().unwrap();
    let mut call = Woken::new(limiter.call().output_tokens(500).timeout(s(1)).acquire());
    assert!(matches!(call.poll(), Poll::Ready(Err(_))), "it waits in vain");
}

// ---- numbers ---------------------------------------------------------------------------------------

#[test]
fn no_number_panics() {
    let numbers =
        [0, 1, 2, 3, (1 << 21) - 1, 1 << 21, (1 << 21) + 1, (1 << 32) + 1, u64::MAX - 1, u64::MAX];
    let windows = [Duration::from_nanos(1), ms(1), MINUTE, Duration::MAX];
    for limit in numbers {
        for window in windows {
            for kept in [false, true] {
                let clock = ManualClock::new();
                let rule = |rule: TokenLimit| {
                    let rule = rule.with_output_factor(u32::MAX);
                    if kept { rule.without_refunds() } else { rule }
                };
                let limiter = Limiter::builder()
                    .token_limit(rule(TokenLimit::total(limit, window)))
                    .token_limit(rule(TokenLimit::output(limit, window)))
                    .token_limit(rule(TokenLimit::input(limit, window)))
                    .token_limit(rule(TokenLimit::input(limit, window)))
                    .max_concurrent(2)
                    .clock(clock.clone())
                    .build();
                for input in numbers {
                    for output in [0, 1, u64::MAX] {
                        let usage = Usage::new(input, output);
                        let call = limiter.call().tokens(usage);
                        let one = call.try_acquire();
                        let mut two = Box::pin(call.acquire());
                        let mut three = Box::pin(call.timeout(s(1)).acquire());
                        let two = poll_once(two.as_mut());
                        let _ = poll_once(three.as_mut());
                        let _ = three.estimated_wait();
                        if let Ok(permit) = one {
                            permit.settle(Usage::new(output, input));
                        }
                        drop(two);
                        clock.advance(window / 3);
                        let _ = poll_once(three.as_mut());
                    }
                    for n in 0..4 {
                        limiter.set_token_limit(n, input).unwrap();
                    }
                    let _ = (limiter.remaining_tokens(), limiter.remaining_output_tokens());
                }
            }
        }
    }
}
