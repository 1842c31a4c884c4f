//! A stopped limiter: all are refused at once, with the reason, until it ends or is resumed.

use crate::bells::{Woken, limiter};
use crate::pause::{of_each_kind, tries, waits};
use ringgate::{Limit, LimiterBuilder, Rate, Refused, StopReason, Usage};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const REASONS: [StopReason; 5] = [
    StopReason::QuotaExhausted,
    StopReason::SpendLimit,
    StopReason::PaymentRequired,
    StopReason::DailyQuota,
    StopReason::Other,
];

#[track_caller]
fn assert_stopped(answer: Result<(), Refused>, reason: StopReason, left: Option<Duration>) {
    let refused = answer.unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Stopped(reason), left));
    assert_eq!(refused.is_permanent(), left.is_none());
}

/// Broken by: `Kind::of` that mixes up two reasons; a stop that is told as a pause; a stop that does not end.
#[test]
fn a_stopped_limiter_refuses_at_once_with_the_reason_and_the_exact_time() {
    for reason in REASONS {
        for (kind, limiter, bells) in of_each_kind() {
            println!("{kind}");
            limiter.stop(reason, DAY);
            assert_eq!((limiter.stopped(), limiter.paused_for()), (Some(reason), Some(DAY)));
            assert_stopped(tries(&limiter), reason, Some(DAY));
            let mut call = Woken::new(limiter.acquire());
            let answer = call.poll();
            assert!(answer.is_ready(), "it waits");
            bells.advance(DAY.saturating_sub(Duration::from_nanos(1)));
            assert_stopped(tries(&limiter), reason, Some(Duration::from_nanos(1)));
            bells.advance(Duration::from_nanos(1));
            assert_eq!((limiter.stopped(), limiter.paused_for()), (None, None));
            tries(&limiter).unwrap();
        }
    }
}

/// Broken by: a stop without an end that tells a time, or that time ends.
#[test]
fn a_stop_without_an_end_is_for_good_until_it_is_resumed() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        limiter.stop(StopReason::SpendLimit, None);
        bells.advance(1_000 * DAY);
        assert_stopped(tries(&limiter), StopReason::SpendLimit, None);
        limiter.resume();
        assert_eq!(limiter.stopped(), None);
        tries(&limiter).unwrap();
    }
}

/// Broken by: `Core::stop` that wakes nobody; `wait_again` that waits for what is no permanent refusal; `room` that finds none for
/// calls whose tokens do not fit.
#[test]
fn those_in_line_are_told_at_once() {
    for length in [Some(DAY), None] {
        for (kind, limiter, bells) in of_each_kind() {
            println!("{kind}");
            let (mut in_flight, call) = (Vec::new(), limiter.call().input_tokens(100));
            while let Ok(permit) = call.try_acquire() {
                in_flight.push(permit);
            }
            let mut line: Vec<_> = (0..5).map(|_| waits(&limiter)).collect();
            limiter.stop(StopReason::DailyQuota, length);
            // Those that stand for a shared permit look at the time by themselves.
            if kind.contains("shared") {
                bells.advance(SECOND);
            }
            for call in &mut line {
                let refused = call.run(9).expect("it was not told").map(drop);
                let left = refused.unwrap_err().retry_after();
                assert_eq!(left.is_some(), length.is_some());
            }
            assert_eq!(limiter.waiters(), 0);
            drop(in_flight);
            limiter.resume();
            bells.advance(MINUTE + SECOND);
            tries(&limiter).unwrap();
        }
    }
}

/// All of them, however many; those that leave tell the next ones. Broken by: `Core::stop` that hands out one turn, to a call that
/// is silent.
#[test]
fn a_long_line_is_told_though_its_first_call_is_silent() {
    let slots = |builder: LimiterBuilder| builder.max_concurrent(1).rate(Rate::per_minute(9));
    for (limiter, _bells) in [limiter(slots), limiter(|builder| slots(builder).tokens(150, MINUTE))]
    {
        let held = limiter.call().input_tokens(100).try_acquire().unwrap();
        let mut line: Vec<_> = (0..3_000).map(|_| waits(&limiter)).collect();
        limiter.stop(StopReason::Other, None);
        let told = line[1..].iter_mut().filter_map(|call| call.run(9)).count();
        assert_eq!(told, 2_999);
        drop(held);
    }
}

/// Broken by: a stop that is forgotten behind a longer pause, or a pause that ends one.
#[test]
fn beside_a_pause_the_longer_end_holds_and_the_reason_is_told() {
    let reason = StopReason::QuotaExhausted;
    for stop_first in [true, false] {
        for (stop, pause) in [(MINUTE, 2 * MINUTE), (2 * MINUTE, MINUTE)] {
            let (limiter, bells) = limiter(|builder| builder.max_concurrent(1));
            if !stop_first {
                limiter.pause(pause);
            }
            limiter.stop(reason, stop);
            if stop_first {
                limiter.pause(pause);
            }
            assert_stopped(tries(&limiter), reason, Some(2 * MINUTE));
            bells.advance(2 * MINUTE);
            tries(&limiter).unwrap();
            // The next pause is one.
            limiter.pause(SECOND);
            assert_eq!(tries(&limiter).unwrap_err().limit(), Limit::Paused);
        }
    }
}

/// Broken by: a second stop that is not taken.
#[test]
fn of_two_stops_the_last_reason_is_told_and_the_longest_holds() {
    let (limiter, bells) = limiter(|builder| builder.max_concurrent(1));
    limiter.stop(StopReason::DailyQuota, MINUTE);
    limiter.stop(StopReason::SpendLimit, SECOND);
    assert_stopped(tries(&limiter), StopReason::SpendLimit, Some(MINUTE));
    limiter.stop(StopReason::Other, None);
    limiter.stop(StopReason::DailyQuota, SECOND);
    bells.advance(DAY);
    assert_stopped(tries(&limiter), StopReason::DailyQuota, None);
}

/// Broken by: `By::Stop` that hides what refuses for good.
#[test]
fn a_close_is_told_before_a_stop_and_the_stop_before_other_limits() {
    let (limiter, _bells) = limiter(|builder| builder.rate(Rate::per_minute(0)).tokens(10, MINUTE));
    limiter.stop(StopReason::Other, None);
    assert_stopped(tries(&limiter), StopReason::Other, None);
    let refused = limiter.call().tokens(Usage::new(50, 0)).try_acquire().unwrap_err();
    assert_eq!(refused.limit(), Limit::Stopped(StopReason::Other));
    limiter.close();
    assert_eq!(tries(&limiter).unwrap_err().limit(), Limit::Closed);
}

/// Broken by: a stop of zero that is one.
#[test]
fn a_stop_of_no_length_is_none() {
    let (limiter, _bells) = limiter(|builder| builder.max_concurrent(1));
    limiter.stop(StopReason::Other, Duration::ZERO);
    assert_eq!(limiter.stopped(), None);
    tries(&limiter).unwrap();
}

#[test]
fn a_refusal_by_a_stop_says_so() {
    let (limiter, _bells) = limiter(|builder| builder.max_concurrent(1));
    limiter.stop(StopReason::DailyQuota, MINUTE);
    let said = tries(&limiter).unwrap_err().to_string();
    assert_eq!(said, "the provider has stopped all calls, daily quota exhausted: retry in 60s");
    limiter.stop(StopReason::SpendLimit, None);
    let said = tries(&limiter).unwrap_err().to_string();
    assert_eq!(
        said,
        "the provider has stopped all calls, spend limit reached: no call is admitted until it is resumed"
    );
    assert_eq!(Limit::Stopped(StopReason::SpendLimit).to_string(), "spend limit reached");
}
