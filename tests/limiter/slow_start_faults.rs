//! Faults that a reading of the code found.

use ringgate::time::ManualClock;
use ringgate::{Feedback, Limiter, Quota, QuotaKind, QuotaWindow, Rate};
use std::time::Duration;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn limiter() -> (ManualClock, Limiter) {
    let clock = ManualClock::new();
    (clock.clone(), Limiter::builder().rate(Rate::per_minute(60)).clock(clock).build())
}

/// How many calls go at once.
fn go(limiter: &Limiter) -> usize {
    (0..100).take_while(|_| limiter.try_acquire().is_ok()).count()
}

#[test]
fn a_shorter_pause_with_a_ramp_does_not_take_the_ramp_of_a_longer_one() {
    let (clock, limiter) = limiter();
    limiter.pause_then_ramp(secs(60), secs(60));
    // Another call was refused, too, and told less.
    limiter.pause_then_ramp(secs(1), secs(60));
    clock.advance(secs(60));
    let mut went = 0;
    for _ in 0..30 {
        went += go(&limiter);
        clock.advance(secs(1));
    }
    // A quarter of the full speed in the first half.
    assert!((7..=9).contains(&went), "{went}");
}

#[test]
fn a_ramp_ends_also_after_a_jump_of_forty_years() {
    let (clock, limiter) = limiter();
    limiter.resume_over(secs(60));
    assert!(limiter.try_acquire().is_ok());
    clock.advance(40 * YEAR);
    assert_eq!(go(&limiter), 60);
}

#[test]
fn a_pause_that_is_over_for_forty_years_does_not_come_back_with_a_ramp() {
    let (clock, limiter) = limiter();
    limiter.pause(secs(20));
    clock.advance(40 * YEAR);
    limiter.pause_then_ramp(secs(1), secs(60));
    assert!(limiter.paused_for() <= Some(secs(1)), "{:?}", limiter.paused_for());
}

#[test]
fn a_refusal_without_a_time_counts_in_a_slow_start() {
    let (clock, limiter) = limiter();
    limiter.resume_over(secs(60));
    let mut refused = 0;
    for _ in 0..120 {
        if go(&limiter) > 0 {
            // It is answered before the next one may go.
            refused += 1;
            limiter.observe(&Feedback::cool_down(None));
        }
        clock.advance(secs(1));
    }
    // Pauses of 1, 2, 4, 8, 16, 32 and 60 s, with all calls refused.
    assert!(refused <= 14, "{refused}");
}

#[test]
fn a_ramp_of_an_empty_line_lets_more_than_one_go_per_minute() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder().max_concurrent(50).clock(clock.clone()).build();
    limiter.observe(&Feedback::cool_down(secs(1)).ramp());
    clock.advance(secs(1));
    let mut went = 0;
    for _ in 0..60 {
        went += go(&limiter);
        clock.advance(secs(1));
    }
    assert!(went > 2, "{went}");
}

/// Broken by: a stop that tells its own end alone.
#[test]
fn a_refusal_by_a_stop_tells_when_the_rate_has_room_if_that_is_later() {
    let (_clock, limiter) = limiter();
    assert_eq!(go(&limiter), 60);
    limiter.stop(ringgate::StopReason::DailyQuota, secs(10));
    let refused = limiter.try_acquire().unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(60_250)), "{refused}");
}

/// Fifty-nine calls, and another one 55 s later, which is answered after 30 s. The provider counted them all, and nobody else's.
fn answered_late(limiter: &Limiter, clock: &ManualClock) -> usize {
    for _ in 0..59 {
        drop(limiter.try_acquire().unwrap());
    }
    clock.advance(secs(55));
    let permit = limiter.try_acquire().unwrap();
    clock.advance(secs(30));
    let none_left =
        Quota::new(QuotaKind::Requests, QuotaWindow::Minute).with_limit(60).with_remaining(0);
    permit.observe(&Feedback::new().with_quota(none_left));
    go(limiter)
}

#[test]
fn own_calls_do_not_count_as_those_of_others_when_an_answer_comes_late() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone()).build();
    assert_eq!(answered_late(&limiter, &clock), 59);
}

#[test]
fn nor_beside_a_limit_on_tokens() {
    let clock = ManualClock::new();
    let builder = Limiter::builder().rate(Rate::per_minute(60)).tokens(1_000_000, secs(60));
    let limiter = builder.clock(clock.clone()).build();
    assert_eq!(answered_late(&limiter, &clock), 59);
}

#[test]
fn a_stop_that_is_over_does_not_come_back_with_a_pause_that_never_ends() {
    let (clock, limiter) = limiter();
    limiter.stop(ringgate::StopReason::DailyQuota, secs(10));
    clock.advance(secs(20));
    limiter.pause(Duration::MAX);
    assert_eq!(limiter.stopped(), None);
    assert_eq!(limiter.try_acquire().unwrap_err().limit(), ringgate::Limit::Paused);
}
