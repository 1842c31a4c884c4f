//! Limits on tokens in a limiter: together with rates and slots, in one line.

use crate::common::{Wakes, poll_once, poll_with};
use ringgate::time::ManualClock;
use ringgate::{
    Limit, Limiter, LimiterAcquire, LimiterBuilder, NoSuchRateError, OverLimit, Rate, TokenLimit,
    Usage,
};
use std::pin::Pin;
use std::task::Waker;
use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The window, and what it holds tokens longer at most.
const MINUTE: Duration = s(60);
const GRAIN: Duration = ms(180);

/// By a clock that the test moves, without a margin.
fn by_hand(limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let builder = limits(Limiter::builder().margin(Duration::ZERO).clock(clock.clone()));
    (builder.build(), clock)
}

type Call<'a> = Pin<Box<LimiterAcquire<'a>>>;

/// A call that waits for so many tokens.
fn waits(limiter: &Limiter, input: u64, output: u64) -> Call<'_> {
    let mut call = Box::pin(limiter.call().tokens(Usage::new(input, output)).acquire());
    assert!(poll_once(call.as_mut()).is_pending());
    call
}

fn goes(call: &mut Call<'_>) -> bool {
    poll_once(call.as_mut()).is_ready()
}

// ---- all or nothing ------------------------------------------------------------------------------

/// Broken by: `Budgets::reserve` that neither looks at all budgets first nor gives back.
#[test]
fn a_call_that_one_limit_refuses_counts_in_none() {
    let (limiter, _clock) = by_hand(|builder| {
        let builder = builder.rate(Rate::new(3, MINUTE)).max_concurrent(2);
        builder.tokens(1_000, MINUTE).input_tokens(500, MINUTE).output_tokens(300, MINUTE)
    });
    let all = |limiter: &Limiter| {
        (
            limiter.remaining(),
            limiter.available_permits(),
            limiter.remaining_tokens(),
            limiter.remaining_input_tokens(),
            limiter.remaining_output_tokens(),
        )
    };
    let call = limiter.call();
    let first = call.input_tokens(400).output_tokens(200).try_acquire().unwrap();
    let left = (2, 1, 400, 100, 100);
    assert_eq!(all(&limiter), left);
    let refused = |input, output| {
        let usage = Usage::new(input, output);
        limiter.call().tokens(usage).try_acquire().unwrap_err()
    };
    assert_eq!(refused(101, 0).limit(), Limit::InputTokens);
    assert_eq!(all(&limiter), left);
    let by_output = refused(0, 101);
    assert_eq!((by_output.limit(), by_output.retry_after()), (Limit::OutputTokens, None));
    assert!(!by_output.is_permanent());
    assert_eq!(all(&limiter), left);
    let second = call.input_tokens(100).try_acquire().unwrap();
    // No slot is left; then no request.
    assert_eq!(refused(0, 0).limit(), Limit::Concurrency);
    drop(second);
    drop(call.try_acquire().unwrap());
    assert_eq!(refused(0, 100).limit(), Limit::Rate);
    assert_eq!(all(&limiter), (0, 1, 300, 0, 100));
    drop(first);
}

/// Broken by: `Budgets::peek` telling the first wait instead of the longest.
#[test]
fn a_refusal_tells_the_longest_wait_and_its_limit() {
    let (limiter, clock) = by_hand(|builder| {
        builder.tokens(100, MINUTE).rate(Rate::new(1, s(10))).tokens(150, s(3600))
    });
    drop(limiter.call().input_tokens(100).try_acquire().unwrap());
    let refused = |input| limiter.call().input_tokens(input).try_acquire().unwrap_err();
    let wait = |input| refused(input).retry_after().unwrap();
    assert_eq!(refused(0).limit(), Limit::Rate);
    assert_eq!(wait(0), s(10));
    assert_eq!(refused(50).limit(), Limit::Tokens);
    assert!((MINUTE..=MINUTE + GRAIN).contains(&wait(50)));
    assert!((s(3600)..=s(3611)).contains(&wait(51)));
    let exact = wait(50);
    clock.advance(exact.saturating_sub(Duration::from_nanos(1)));
    assert!(limiter.call().input_tokens(50).try_acquire().is_err());
    clock.advance(Duration::from_nanos(1));
    assert!(limiter.call().input_tokens(50).try_acquire().is_ok());
}

/// Broken by: `NotNow::refused` without the two numbers.
#[test]
fn more_than_a_limit_is_refused_for_good_with_both_numbers() {
    let (limiter, _clock) =
        by_hand(|builder| builder.input_tokens(1_000, MINUTE).output_tokens(100, MINUTE));
    let asks_for_input = limiter.call().input_tokens(1_200);
    let refused = [
        asks_for_input.try_acquire().unwrap_err(),
        futures_util::FutureExt::now_or_never(asks_for_input.acquire()).unwrap().unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.limit(), Limit::InputTokens);
        assert_eq!(refused.over_limit(), Some(OverLimit { asked: 1_200, limit: 1_000 }));
        assert!(refused.is_permanent());
        assert_eq!(refused.to_string(), "input tokens limit reached: 1200 asked for, 1000 allowed");
    }
    // Also behind others, and beside a line.
    drop(limiter.call().output_tokens(100).try_acquire_owned().unwrap().release_slot());
    let _line = waits(&limiter, 900, 50);
    let mut call = Box::pin(limiter.call().output_tokens(101).acquire());
    assert!(goes(&mut call));
    assert!(limiter.call().output_tokens(101).try_acquire().unwrap_err().is_permanent());
}

/// Broken by: a window of zero that counts.
#[test]
fn a_window_of_zero_is_no_limit_and_zero_tokens_are_always_admitted() {
    let (limiter, _clock) = by_hand(|builder| builder.tokens(5, Duration::ZERO));
    assert!(limiter.call().input_tokens(1_000).try_acquire().is_ok());
    assert_eq!(limiter.remaining_tokens(), u64::MAX);
    assert_eq!(limiter.set_token_limit(0, 5), Err(NoSuchRateError));

    let (limiter, _clock) = by_hand(|builder| builder.tokens(0, MINUTE));
    assert!(limiter.try_acquire().is_ok());
    assert!(limiter.call().input_tokens(1).try_acquire().unwrap_err().is_permanent());

    let (limiter, _clock) = by_hand(|builder| builder.tokens(u64::MAX, MINUTE));
    let most = Usage::new(u64::MAX, u64::MAX);
    let permit = limiter.call().tokens(most).try_acquire();
    permit.map_or_else(|refused| assert!(refused.is_permanent()), |permit| permit.settle(most));
}

// ---- settling ------------------------------------------------------------------------------------

/// Broken by: `Budgets::settle` that leaves the total alone.
#[test]
fn what_was_used_counts_in_the_place_of_what_was_expected() {
    let (limiter, clock) = by_hand(|builder| {
        builder.tokens(1_000, MINUTE).input_tokens(800, MINUTE).output_tokens(600, MINUTE)
    });
    let left = || {
        (
            limiter.remaining_tokens(),
            limiter.remaining_input_tokens(),
            limiter.remaining_output_tokens(),
        )
    };
    let expected = Usage::new(300, 200);
    let call = || limiter.call().tokens(expected).try_acquire().unwrap();
    call().settle(Usage::new(280, 50));
    assert_eq!(left(), (670, 520, 550));
    call().cancel();
    assert_eq!(left(), (670, 520, 550));
    drop(call());
    assert_eq!(left(), (170, 220, 350));
    clock.advance(MINUTE + GRAIN);
    assert_eq!(left(), (1_000, 800, 600));
    call().settle(Usage::new(350, 400)); // more than expected
    assert_eq!(left(), (250, 450, 200));
}

/// Broken by: a budget as produced that counts at the start.
#[test]
fn output_is_held_while_it_streams_also_after_the_slot_was_released() {
    let (limiter, clock) =
        by_hand(|builder| builder.max_concurrent(1).output_tokens(1_000, MINUTE));
    let permit = limiter.call().output_tokens(800).try_acquire_owned().unwrap();
    clock.advance(s(600));
    let tokens = permit.release_slot();
    assert_eq!(limiter.available_permits(), 1);
    assert_eq!(tokens.expected(), Usage::new(0, 800));
    let refused = limiter.call().output_tokens(300).try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::OutputTokens, None));
    tokens.settle(Usage::new(0, 750));
    assert_eq!(limiter.remaining_output_tokens(), 250);
    let wait = limiter.call().output_tokens(300).try_acquire().unwrap_err().retry_after().unwrap();
    assert!((MINUTE..=MINUTE + GRAIN).contains(&wait));
    // A call that ends without a settlement counts in full, from then on.
    drop(limiter.call().output_tokens(250).try_acquire().unwrap());
    clock.advance(MINUTE + GRAIN);
    assert_eq!(limiter.remaining_output_tokens(), 1_000);
}

/// Broken by: `TokenLimit::settles_at` without the maximum; without the factor.
#[test]
fn a_limit_may_keep_what_was_reserved_or_count_output_several_times() {
    let (limiter, _clock) =
        by_hand(|builder| builder.token_limit(TokenLimit::total(1_000, MINUTE).without_refunds()));
    let call = || limiter.call().input_tokens(100).output_tokens(100).try_acquire().unwrap();
    call().settle(Usage::new(50, 50));
    assert_eq!(limiter.remaining_tokens(), 800);
    call().settle(Usage::new(150, 100));
    assert_eq!(limiter.remaining_tokens(), 550);
    call().cancel(); // never sent
    assert_eq!(limiter.remaining_tokens(), 550);

    let five = TokenLimit::total(1_000, MINUTE).with_output_factor(5);
    let (limiter, _clock) = by_hand(|builder| builder.token_limit(five));
    let call = limiter.call().input_tokens(100).output_tokens(100).try_acquire().unwrap();
    call.settle(Usage::new(90, 60));
    assert_eq!(limiter.remaining_tokens(), 610);
}

/// Broken by: `Budgets::new` without the margin.
#[test]
fn tokens_count_a_margin_longer() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder().tokens(10, MINUTE).clock(clock.clone()).build();
    drop(limiter.call().input_tokens(10).try_acquire().unwrap());
    clock.advance(MINUTE + ms(249));
    assert_eq!(limiter.remaining_tokens(), 0);
    clock.advance(ms(1) + GRAIN);
    assert_eq!(limiter.remaining_tokens(), 10);
}

// ---- the line ------------------------------------------------------------------------------------

/// Broken by: `look_for_tokens_again` that wakes nobody.
#[test]
fn a_settlement_wakes_the_first_in_line_and_those_for_whom_there_is_room() {
    for give_back in [0, 1, 2, 3] {
        let (limiter, _clock) =
            by_hand(|builder| builder.tokens(1_000, MINUTE).output_tokens(1_000, MINUTE));
        let permit = limiter.call().output_tokens(900).try_acquire_owned().unwrap();
        let wakes = [Wakes::new(), Wakes::new()];
        let mut calls: Vec<_> =
            (0..2).map(|_| Box::pin(limiter.call().output_tokens(200).acquire())).collect();
        for (call, wakes) in calls.iter_mut().zip(&wakes) {
            assert!(poll_with(call.as_mut(), &Waker::from(wakes.clone())).is_pending());
        }
        match give_back {
            0 => permit.settle(Usage::new(0, 500)),
            1 => permit.cancel(),
            2 => permit.release_slot().settle(Usage::new(0, 500)),
            _ => permit.release_slot().cancel(),
        }
        assert!(wakes.iter().all(|wakes| wakes.count() == 1), "{give_back}");
        let permits: Vec<_> = calls
            .iter_mut()
            .map(|call| match poll_once(call.as_mut()) {
                std::task::Poll::Ready(permit) => permit.unwrap(),
                std::task::Poll::Pending => panic!("it waits"),
            })
            .collect();
        assert_eq!(limiter.waiters(), 0);
        drop(permits);
    }
}

/// Broken by: `set_token_limit` that wakes nobody.
#[test]
fn a_higher_limit_wakes_those_in_line() {
    let (limiter, _clock) = by_hand(|builder| builder.tokens(100, MINUTE));
    drop(limiter.call().input_tokens(100).try_acquire().unwrap());
    let mut call = Box::pin(limiter.call().input_tokens(80).acquire());
    let wakes = Wakes::new();
    assert!(poll_with(call.as_mut(), &Waker::from(wakes.clone())).is_pending());
    limiter.set_token_limit(0, 180).unwrap();
    assert_eq!(wakes.count(), 1);
    assert!(goes(&mut call));
    // And a lower one refuses a call in line for good.
    let mut call = waits(&limiter, 150, 0);
    limiter.set_token_limit(0, 149).unwrap();
    let std::task::Poll::Ready(Err(refused)) = poll_once(call.as_mut()) else { panic!() };
    assert_eq!(refused.over_limit(), Some(OverLimit { asked: 150, limit: 149 }));
    assert_eq!(limiter.set_token_limit(1, 5), Err(NoSuchRateError));
}

/// Broken by: `has_room_for` without the watch; `Budgets::room` by the smallest call.
#[test]
fn a_small_call_does_not_pass_a_large_one_that_waits() {
    let (limiter, clock) = by_hand(|builder| builder.tokens(1_000, MINUTE));
    drop(limiter.call().input_tokens(700).try_acquire().unwrap());
    let mut large = waits(&limiter, 500, 0);
    let mut small: Vec<_> = (0..5).map(|_| waits(&limiter, 10, 0)).collect();
    let refused = limiter.call().input_tokens(10).try_acquire().unwrap_err();
    assert_eq!(refused.limit(), Limit::Tokens);
    assert!(refused.retry_after() > Some(Duration::ZERO));
    // Whoever is polled, and however long it takes.
    for _ in 0..599 {
        clock.advance(ms(100));
        assert!(small.iter_mut().all(|call| !goes(call)), "it passed");
        assert!(!goes(&mut large));
    }
    clock.advance(ms(100) + GRAIN);
    assert!(goes(&mut large));
    assert!(small.iter_mut().all(goes));
}

/// Both had turns, and then a call in flight had used more than expected. Broken by: `Queued::go` without the look at those in
/// front.
#[test]
fn a_small_call_with_a_turn_waits_behind_a_large_one_that_found_too_few_tokens_at_its_own() {
    let (limiter, clock) = by_hand(|builder| builder.output_tokens(1_000, MINUTE));
    let in_flight = limiter.try_acquire().unwrap();
    let holds_all = limiter.call().output_tokens(1_000).try_acquire().unwrap();
    let (mut large, mut small) = (waits(&limiter, 0, 500), waits(&limiter, 0, 100));
    holds_all.cancel();
    in_flight.settle(Usage::new(0, 700));
    assert!(!goes(&mut large));
    assert!(!goes(&mut small), "it passed");
    clock.advance(MINUTE + GRAIN);
    assert!(goes(&mut large));
    assert!(goes(&mut small));
}

/// Broken by: a watch that lasts until the tokens are there.
#[test]
fn a_large_call_that_nobody_polls_holds_up_small_ones_for_the_grace() {
    let grace = s(1);
    for held in [false, true] {
        let (limiter, clock) = by_hand(|builder| {
            let builder = builder.tokens(1_000, s(3600)).grace(grace);
            if held { builder.output_tokens(1_000, s(3600)) } else { builder }
        });
        let _permit = limiter.call().output_tokens(700).try_acquire().unwrap();
        let silent = waits(&limiter, 0, 500);
        let mut small = waits(&limiter, 0, 10);
        let mut passed = Duration::ZERO;
        // With its first turn it lets those ahead go first.
        while !goes(&mut small) && !goes(&mut small) {
            clock.advance(grace / 16);
            passed += grace / 16;
            assert!(passed <= grace, "it waits");
        }
        assert_eq!(limiter.remaining_tokens(), 290);
        drop(silent);
        assert_eq!(limiter.waiters(), 0);
    }
}

/// Broken by: `Leaving` that hands out no turn.
#[test]
fn a_call_that_leaves_the_line_has_taken_no_tokens_and_others_go() {
    let (limiter, clock) = by_hand(|builder| builder.tokens(1_000, MINUTE).max_concurrent(5));
    drop(limiter.call().input_tokens(700).try_acquire().unwrap());
    let large = waits(&limiter, 500, 0);
    let wakes = Wakes::new();
    let mut small = Box::pin(limiter.call().input_tokens(300).acquire());
    assert!(poll_with(small.as_mut(), &Waker::from(wakes.clone())).is_pending());
    drop(large);
    assert_eq!(wakes.count(), 1);
    assert!(goes(&mut small));
    let waiting: Vec<_> = (0..3).map(|_| waits(&limiter, 300, 0)).collect();
    clock.advance(MINUTE + GRAIN);
    drop(waiting);
    assert_eq!((limiter.remaining_tokens(), limiter.available_permits()), (1_000, 5));
}

/// Broken by: `estimate_for_newcomer` without the budgets; a wait for a settlement that counts as one without end.
#[test]
fn a_timeout_is_refused_at_once_if_the_tokens_cannot_be_there_by_then() {
    let (limiter, _clock) =
        by_hand(|builder| builder.tokens(1_000, MINUTE).output_tokens(600, MINUTE));
    let _permit = limiter.call().output_tokens(500).try_acquire().unwrap();
    let within = |input, output, timeout| {
        let call = limiter.call().tokens(Usage::new(input, output)).timeout(timeout);
        let mut call = Box::pin(call.acquire());
        poll_once(call.as_mut()).map(|refused| refused.unwrap_err().limit())
    };
    assert_eq!(within(501, 0, s(59)), std::task::Poll::Ready(Limit::Tokens));
    assert!(within(501, 0, s(61)).is_pending());
    // The answer may end before.
    assert!(within(0, 101, ms(1)).is_pending());
}

/// Broken by: `estimate_for` without the budgets.
#[test]
fn the_first_in_line_knows_how_long_its_tokens_take() {
    let (limiter, clock) = by_hand(|builder| builder.tokens(1_000, MINUTE));
    drop(limiter.call().input_tokens(700).try_acquire().unwrap());
    clock.advance(s(20));
    let mut call = waits(&limiter, 500, 0);
    let wait = call.estimated_wait().unwrap();
    assert!((s(40)..=s(40) + GRAIN).contains(&wait));
    clock.advance(wait.saturating_sub(Duration::from_nanos(1)));
    assert!(!goes(&mut call));
    clock.advance(Duration::from_nanos(1));
    assert!(goes(&mut call));
}

/// Broken by: `Budgets::room` of one at most.
#[test]
fn calls_that_fit_together_are_woken_together() {
    let (limiter, _clock) = by_hand(|builder| builder.output_tokens(1_000, MINUTE));
    let permit = limiter.call().output_tokens(1_000).try_acquire().unwrap();
    let wakes = Wakes::new();
    let mut calls: Vec<_> =
        (0..20).map(|_| Box::pin(limiter.call().output_tokens(60).acquire())).collect();
    for call in &mut calls {
        assert!(poll_with(call.as_mut(), &Waker::from(wakes.clone())).is_pending());
    }
    permit.cancel();
    // A call counts as needing up to twice as much.
    assert!((8..=16).contains(&wakes.count()), "{} woken", wakes.count());
    let went = calls.iter_mut().filter_map(|call| goes(call).then_some(())).count();
    assert_eq!(went, 16);
}
