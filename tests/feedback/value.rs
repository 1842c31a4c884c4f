//! The value, without any HTTP.

use ringgate::{Feedback, Quota, QuotaKind, QuotaWindow, Signal, StopReason};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Broken by: another default signal; a constructor that leaves out its time.
#[test]
fn constructors_say_what_they_are_named_after() {
    assert_eq!(Feedback::default(), Feedback::new());
    let table = [
        (Feedback::new(), Signal::Proceed, None),
        (Feedback::cool_down(SECOND), Signal::CoolDown, Some(SECOND)),
        (Feedback::cool_down(None), Signal::CoolDown, None),
        (Feedback::cool_down(SECOND).ramp(), Signal::Ramp, Some(SECOND)),
        (Feedback::overload(), Signal::Overload, None),
        (Feedback::overload().with_retry_after(SECOND), Signal::Overload, Some(SECOND)),
        (Feedback::stop(StopReason::Other), Signal::Stop(StopReason::Other), None),
    ];
    for (feedback, signal, retry_after) in table {
        assert_eq!((feedback.signal(), feedback.retry_after()), (signal, retry_after));
        assert_eq!((feedback.should_retry(), feedback.quotas()), (None, [].as_slice()));
    }
}

/// Broken by: `ramp` without its condition.
#[test]
fn only_a_pause_can_end_in_a_ramp() {
    for other in [Feedback::new(), Feedback::overload(), Feedback::stop(StopReason::SpendLimit)] {
        assert_eq!(other.clone().ramp(), other);
    }
}

/// Broken by: `with_quota` that always adds, or always replaces, or compares limits first.
#[test]
fn of_two_quotas_of_a_kind_and_window_the_tighter_one_is_kept() {
    let quota = Quota::new(QuotaKind::Tokens, QuotaWindow::Minute);
    let (roomy, tight) =
        (quota.with_limit(10).with_remaining(9), quota.with_limit(20).with_remaining(5));
    for (first, second) in [(roomy, tight), (tight, roomy), (quota, tight), (tight, quota)] {
        let feedback = Feedback::new().with_quota(first).with_quota(second);
        assert_eq!(feedback.quotas(), [tight]);
    }
    let (lower, higher) = (quota.with_limit(10), quota.with_limit(20));
    for (first, second) in [(lower, higher), (higher, lower)] {
        assert_eq!(Feedback::new().with_quota(first).with_quota(second).quotas(), [lower]);
    }
}

/// Broken by: a comparison of kinds only, or of windows only.
#[test]
fn quotas_of_other_kinds_and_windows_stand_beside_one_another_in_order() {
    let quotas = [
        Quota::new(QuotaKind::Tokens, QuotaWindow::Minute),
        Quota::new(QuotaKind::Requests, QuotaWindow::Minute),
        Quota::new(QuotaKind::Requests, QuotaWindow::Day),
    ];
    let feedback = quotas.into_iter().fold(Feedback::new(), Feedback::with_quota);
    assert_eq!(feedback.quotas(), quotas);
}

/// Broken by: a wrong number of seconds in one of them.
#[test]
fn windows_know_their_lengths() {
    let table = [
        (QuotaWindow::Second, Some(1)),
        (QuotaWindow::Minute, Some(60)),
        (QuotaWindow::Hour, Some(3_600)),
        (QuotaWindow::Day, Some(86_400)),
        (QuotaWindow::Month, Some(2_592_000)),
        (QuotaWindow::Unknown, None),
    ];
    for (window, seconds) in table {
        assert_eq!(window.length(), seconds.map(Duration::from_secs));
    }
}

#[test]
fn a_reason_says_itself_in_words() {
    assert_eq!(StopReason::DailyQuota.to_string(), "daily quota exhausted");
    assert_eq!(StopReason::PaymentRequired.to_string(), "payment required");
}
