//! Faults in what a limiter took for others' use of its key. All were found by an adversarial reader.

use crate::limiter_core::Sent;
use crate::time::{ManualClock, Timestamp};
use crate::{Feedback, Limiter, LimiterBuilder, Quota, QuotaKind, QuotaWindow, Rate};
use core::time::Duration;
use std::collections::VecDeque;

const MINUTE: Duration = Duration::from_secs(60);

fn limiter(limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    (limits(Limiter::builder()).clock(clock.clone()).build(), clock)
}

fn per_minute(limit: u32) -> (Limiter, ManualClock) {
    limiter(|builder| builder.rate(Rate::per_minute(limit)))
}

/// Times are in ms.
fn set(clock: &ManualClock, millis: u64) {
    clock.set(Timestamp::from_nanos(millis * 1_000_000));
}

fn calls(limiter: &Limiter, many: u64) {
    for _ in 0..many {
        drop(limiter.try_acquire().unwrap());
    }
}

fn quota(left: u64) -> Quota {
    Quota::new(QuotaKind::Requests, QuotaWindow::Unknown).with_remaining(left)
}

fn left(left: u64) -> Feedback {
    Feedback::new().with_quota(quota(left))
}

/// Without a pause that would matter.
fn refused() -> Feedback {
    Feedback::cool_down(Duration::from_nanos(1))
}

fn full() -> Feedback {
    refused().with_quota(quota(0))
}

fn sent(millis: u64) -> Sent {
    Sent::At(millis * 1_000_000)
}

/// The clock was far ahead once.
#[test]
fn what_others_used_outlived_a_reset_and_a_jump_of_the_clock() {
    for is_reset in [true, false] {
        let (limiter, clock) = per_minute(60);
        set(&clock, 1_000_000_000);
        limiter.observe(&left(2));
        set(&clock, 0);
        if is_reset {
            limiter.reset();
        }
        set(&clock, 120_000);
        assert_eq!(limiter.remaining(), 60, "{is_reset}");
    }
}

#[test]
fn refused_calls_outlived_a_reset_another_window_and_a_jump_of_the_clock() {
    let twenty_refused = |at| {
        let (limiter, clock) = per_minute(60);
        set(&clock, at);
        calls(&limiter, 60);
        for _ in 0..20 {
            limiter.core().observe(&refused(), sent(at));
        }
        (limiter, clock)
    };
    // Others are known, so that refused calls are taken off.
    let five_others = |limiter: &Limiter, at| {
        limiter.observe(&left(55));
        calls(limiter, 20);
        limiter.core().observe(&left(35), sent(at));
        assert_eq!(limiter.remaining(), 35);
    };
    let (limiter, clock) = twenty_refused(100_000);
    set(&clock, 101_000);
    limiter.reset();
    five_others(&limiter, 101_000);

    let (limiter, clock) = twenty_refused(100_000);
    limiter.set_rate(Rate::new(60, 10 * MINUTE)).unwrap();
    // Parts of five seconds before, of fifty now: the twentieth.
    set(&clock, 1_020_000);
    five_others(&limiter, 1_020_000);

    let (limiter, clock) = twenty_refused(1_000_000);
    set(&clock, 900_000);
    // It is noticed here.
    limiter.try_acquire().unwrap_err();
    set(&clock, 1_000_500);
    five_others(&limiter, 1_000_500);
}

/// By its permit, which knows since when the call was under way, and without it.
#[test]
fn ours_were_taken_for_others_when_a_refusal_came_late() {
    for lately in [false, true] {
        let (limiter, clock) = per_minute(60);
        let told = |permit: &crate::LimiterPermit<'_>, feedback: &Feedback| {
            if lately { limiter.observe(feedback) } else { permit.observe(feedback) }
        };
        set(&clock, 1_000_000);
        calls(&limiter, 59);
        set(&clock, 1_058_000);
        let permit = limiter.try_acquire().unwrap();
        // When all but one have left.
        set(&clock, 1_062_000);
        told(&permit, &full());
        set(&clock, 1_062_001);
        assert!(limiter.remaining() >= 55, "{lately}: {}", limiter.remaining());
    }
}

/// One call of another client is known. Then an answer of ours takes five seconds.
#[test]
fn ours_were_taken_for_others_when_an_answer_came_late() {
    for lately in [false, true] {
        let (limiter, clock) = per_minute(60);
        let told = |permit: &crate::LimiterPermit<'_>, feedback: &Feedback| {
            if lately { limiter.observe(feedback) } else { permit.observe(feedback) }
        };
        set(&clock, 1_000_000);
        let permits: Vec<_> = (0..30).map(|_| limiter.try_acquire().unwrap()).collect();
        set(&clock, 1_050_000);
        told(&permits[0], &left(29));
        set(&clock, 1_057_000);
        let permit = limiter.try_acquire().unwrap();
        set(&clock, 1_062_000);
        told(&permit, &left(28));
        assert!(limiter.remaining() >= 57, "{lately}: {}", limiter.remaining());
    }
}

/// It came to the provider later than others that were sent later, and was refused.
#[test]
fn one_late_call_of_ours_was_sixty_of_others() {
    let (limiter, clock) = per_minute(60);
    set(&clock, 1_000_000);
    calls(&limiter, 1);
    set(&clock, 1_061_000);
    calls(&limiter, 60);
    set(&clock, 1_062_000);
    limiter.core().observe(&full(), sent(1_000_000));
    set(&clock, 1_121_300);
    assert!(limiter.remaining() >= 59, "{}", limiter.remaining());
}

/// OpenAI counts failed requests. Nobody else is there.
#[test]
fn refused_calls_that_the_provider_counts_were_others() {
    let (limiter, clock) = per_minute(60);
    set(&clock, 100_000);
    calls(&limiter, 30);
    for _ in 0..20 {
        limiter.core().observe(&refused(), sent(100_000));
    }
    limiter.core().observe(&left(30), sent(100_000));
    assert_eq!(limiter.remaining(), 30);
}

/// A third is used by others for two minutes, and then never again. Calls are answered at once by a server that counts exactly. How
/// much of the limit is missing at the end.
fn lost(limit: u32, margin: u64, pace: u64) -> u64 {
    let (limiter, clock) = limiter(|builder| {
        builder.rate(Rate::per_minute(limit)).margin(Duration::from_millis(margin))
    });
    let (mut ours, mut now) = (VecDeque::new(), 1_000_000);
    let in_window = |ours: &VecDeque<u64>, window: u64, now: u64| {
        ours.iter().rev().take_while(|at| **at + window > now).count() as u64
    };
    while now < 1_600_000 {
        now += pace;
        set(&clock, now);
        if limiter.try_acquire().is_ok() {
            ours.push_back(now);
            let others = if now < 1_120_000 { u64::from(limit / 3) } else { 0 };
            let used = in_window(&ours, 60_000, now) + others;
            limiter.core().observe(&left(u64::from(limit).saturating_sub(used)), sent(now));
        }
    }
    let ours = in_window(&ours, 60_000 + margin, now);
    u64::from(limit).saturating_sub(u64::from(limiter.remaining()) + ours)
}

#[test]
fn some_of_the_others_that_had_gone_stayed_for_ever() {
    for (limit, margin, pace) in [
        (60, 250, 1_000),
        (60, 250, 100),
        (3_000, 250, 20),
        (60, 10_000, 1_000),
        (60, 20_000, 1_000),
    ] {
        let lost = lost(limit, margin, pace);
        assert!(lost <= 1, "{limit} {margin} {pace}: {lost}");
    }
}

#[test]
fn what_was_left_of_a_limit_that_is_not_believed_was_believed() {
    let (limiter, _clock) = per_minute(60_000);
    limiter.observe(&Feedback::new().with_quota(quota(10).with_limit(10)));
    assert_eq!(limiter.remaining(), 60_000);
}

/// All is there again in ten minutes, though it is the limit of a day.
#[test]
fn what_others_used_of_a_day_held_longer_than_the_provider_said() {
    let (limiter, clock) = limiter(|builder| builder.rate(Rate::per_day(500)));
    let used_up = quota(0).with_reset_after(10 * MINUTE);
    limiter.observe(&Feedback::new().with_quota(used_up));
    assert_eq!(limiter.remaining(), 1);
    set(&clock, 600_001);
    assert_eq!(limiter.remaining(), 500);
}
