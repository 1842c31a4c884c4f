//! What a policy limits, and the providers' presets.

use ringgate::time::ManualClock;
use ringgate::{
    Limit, Limiter, LimiterBuilder, OverLimit, Rate, RateLimitPolicy, TokenLimit, Usage,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// A tick, and the margin of a window of a minute.
const LATEST: Duration = Duration::from_millis(61 + 250);

fn by_hand(policy: &RateLimitPolicy) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    (LimiterBuilder::from(policy).clock(clock.clone()).build(), clock)
}

/// What is left: requests, tokens, input tokens, output tokens.
fn left(limiter: &Limiter) -> (u32, u64, u64, u64) {
    (
        limiter.remaining(),
        limiter.remaining_tokens(),
        limiter.remaining_input_tokens(),
        limiter.remaining_output_tokens(),
    )
}

fn settled(limiter: &Limiter, expected: Usage, used: Usage) {
    limiter.call().tokens(expected).try_acquire().unwrap().settle(used);
}

const NONE: u64 = u64::MAX;

/// Broken by: `token_limits` without one of the three; `with_tpm` that sets another one.
#[test]
fn a_policy_limits_tokens_per_minute() {
    let policy = RateLimitPolicy::rpm(10).with_tpm(1_000).with_input_tpm(800).with_output_tpm(600);
    let (limiter, clock) = by_hand(&policy);
    assert_eq!(left(&limiter), (10, 1_000, 800, 600));
    settled(&limiter, Usage::new(300, 400), Usage::new(250, 100));
    assert_eq!(left(&limiter), (9, 650, 550, 500));
    clock.advance(MINUTE);
    assert_eq!(left(&limiter), (9, 650, 550, 500), "without the margin");
    clock.advance(LATEST);
    assert_eq!(left(&limiter), (10, 1_000, 800, 600));
    let (limiter, _) = by_hand(&policy.with_input_tpm(50));
    assert_eq!(left(&limiter), (10, 1_000, 50, 600), "set again");
}

/// Broken by: `rates` and `token_limits` without those that were added.
#[test]
fn further_windows_hold_together_with_the_minute() {
    let day = 24 * 60 * MINUTE;
    let policy = RateLimitPolicy::rpm(10)
        .with_rate(Rate::per_second(2))
        .with_rate(Rate::per_day(11))
        .with_tpm(1_000)
        .with_token_limit(TokenLimit::total(1_500, day));
    let (limiter, clock) = by_hand(&policy);
    assert_eq!(left(&limiter), (2, 1_000, NONE, NONE));
    let all = Usage::new(600, 400);
    settled(&limiter, all, all);
    assert_eq!(limiter.call().tokens(all).try_acquire().unwrap_err().limit(), Limit::Tokens);
    clock.advance(MINUTE + LATEST);
    assert_eq!(left(&limiter), (2, 500, NONE, NONE));
    let admitted = (0..100).filter(|_| {
        clock.advance(Duration::from_secs(10));
        limiter.try_acquire().is_ok()
    });
    assert_eq!(admitted.count(), 10, "of a day's eleven");
}

/// Broken by: the early return that a policy without a rate had in `LimiterBuilder::from`.
#[test]
fn a_policy_may_limit_nothing_but_tokens_and_its_margin_holds_for_them() {
    let policy = RateLimitPolicy::unlimited().with_tpm(100).with_margin(Duration::from_secs(5));
    let (limiter, clock) = by_hand(&policy);
    assert_eq!(left(&limiter), (u32::MAX, 100, NONE, NONE));
    settled(&limiter, Usage::new(100, 0), Usage::new(100, 0));
    clock.advance(MINUTE + Duration::from_secs(4));
    assert_eq!(limiter.remaining_tokens(), 0);
    clock.advance(Duration::from_secs(1) + LATEST);
    assert_eq!(limiter.remaining_tokens(), 100);
}

/// Broken by: a limit of zero or `u64::MAX` tokens that panics, or is none.
#[test]
fn any_numbers_are_a_policy() {
    for limit in [0, 1, u64::from(u32::MAX), u64::MAX] {
        for window in [Duration::ZERO, Duration::from_nanos(1), MINUTE, Duration::MAX] {
            for factor in [0, 1, u32::MAX] {
                let kinds = [TokenLimit::total, TokenLimit::input, TokenLimit::output];
                let policy = kinds.iter().fold(RateLimitPolicy::unlimited(), |policy, kind| {
                    policy.with_token_limit(kind(limit, window).with_output_factor(factor))
                });
                let rate = Rate::new(u32::try_from(limit).unwrap_or(u32::MAX), window);
                let (limiter, _) = by_hand(&policy.with_rate(rate).with_rate(rate).with_tpm(limit));
                let call = limiter.call().tokens(Usage::new(1, 1)).try_acquire();
                match call {
                    Ok(permit) => {
                        assert!(limit > 1, "{limit} in {window:?}");
                        permit.settle(Usage::new(u64::MAX, u64::MAX));
                    }
                    Err(refused) => assert!(limit <= 1 && refused.is_permanent(), "{refused}"),
                }
            }
        }
    }
    let limiter = Limiter::from(&RateLimitPolicy::unlimited().with_tpm(0));
    assert!(limiter.try_acquire().is_ok());
    assert!(limiter.call().input_tokens(1).try_acquire().unwrap_err().is_permanent());
}

// ---- presets -------------------------------------------------------------------------------------

/// Broken by: refunds.
#[test]
fn openai_and_azure_give_nothing_back() {
    for policy in [RateLimitPolicy::openai(600, 10_000), RateLimitPolicy::azure(600, 10_000)] {
        assert_eq!((policy.rpm, policy.max_concurrent), (600, 100));
        let (limiter, clock) = by_hand(&policy);
        settled(&limiter, Usage::new(1_000, 2_000), Usage::new(900, 10));
        assert_eq!(limiter.remaining_tokens(), 7_000);
        settled(&limiter, Usage::new(1_000, 500), Usage::new(1_200, 500));
        assert_eq!(limiter.remaining_tokens(), 5_300);
        clock.advance(MINUTE + LATEST);
        assert_eq!(limiter.remaining_tokens(), 10_000);
    }
}

/// Broken by: the ten seconds left out; rounded down, so that a small `rpm` admits nothing.
#[test]
fn azure_counts_requests_over_ten_seconds_too() {
    let sixth = |rpm| by_hand(&RateLimitPolicy::azure(rpm, 1)).0.remaining();
    assert_eq!([0, 1, 5, 6, 7, 600, u32::MAX].map(sixth), [0, 1, 1, 1, 2, 100, u32::MAX]);
    let (limiter, clock) = by_hand(&RateLimitPolicy::azure(7, 1));
    let admitted = (0..59).filter(|_| {
        clock.advance(Duration::from_secs(1));
        limiter.try_acquire().is_ok()
    });
    assert_eq!(admitted.count(), 7, "no more than `rpm` in a minute");
}

/// Broken by: output that counts from the start; input that is not given back.
#[test]
fn anthropic_corrects_the_input_and_counts_output_as_it_is_produced() {
    let policy = RateLimitPolicy::anthropic(60, 10_000, 1_000);
    assert_eq!((policy.rpm, policy.max_concurrent), (60, 10));
    let (limiter, clock) = by_hand(&policy);
    let permit = limiter.call().tokens(Usage::new(4_000, 800)).try_acquire().unwrap();
    clock.advance(2 * MINUTE);
    assert_eq!(left(&limiter), (60, NONE, 10_000, 200), "output is held as long as it streams");
    permit.settle(Usage::new(3_000, 700));
    assert_eq!(left(&limiter), (60, NONE, 10_000, 300));
    settled(&limiter, Usage::new(4_000, 200), Usage::new(3_000, 100));
    assert_eq!(left(&limiter), (59, NONE, 7_000, 200));
}

/// Broken by: a limit on output.
#[test]
fn gemini_counts_input_only() {
    let (limiter, _) = by_hand(&RateLimitPolicy::gemini(60, 10_000));
    settled(&limiter, Usage::new(4_000, 1_000_000), Usage::new(3_500, 1_000_000));
    assert_eq!(left(&limiter), (59, NONE, 6_500, NONE));
    let refused = limiter.call().input_tokens(10_001).try_acquire().unwrap_err();
    assert_eq!(refused.over_limit(), Some(OverLimit { asked: 10_001, limit: 10_000 }));
}

/// Broken by: the factor left out; applied to what is reserved.
#[test]
fn bedrock_reserves_output_once_and_counts_it_several_times() {
    let (limiter, _) = by_hand(&RateLimitPolicy::bedrock(60, 10_000, 5));
    let permit = limiter.call().tokens(Usage::new(1_000, 4_000)).try_acquire().unwrap();
    assert_eq!(limiter.remaining_tokens(), 5_000);
    permit.settle(Usage::new(900, 300));
    assert_eq!(limiter.remaining_tokens(), 7_600);
}
