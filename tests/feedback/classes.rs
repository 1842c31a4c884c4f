//! What a refusal means, by status and by the error's code.

use crate::answers::{read, reader, secs};
use ringgate::{Feedback, Signal, StopReason};

/// Broken by: a status moved to another class.
#[test]
fn a_status_alone_has_a_class() {
    for status in [200, 204, 301, 400, 401, 403, 404, 408, 409, 413, 422, 500, 502, 504, 599] {
        assert_eq!(read(status, &[("retry-after", "5")], "").signal(), Signal::Proceed, "{status}");
    }
    let table = [
        (402, Signal::Stop(StopReason::PaymentRequired)),
        (429, Signal::CoolDown),
        (498, Signal::Overload),
        (503, Signal::Overload),
        (529, Signal::Overload),
    ];
    for (status, signal) in table {
        let feedback = read(status, &[], "");
        assert_eq!((feedback.signal(), feedback.retry_after()), (signal, None), "{status}");
    }
    assert_eq!(read(200, &[("retry-after", "5")], ""), Feedback::new());
}

/// Broken by: a code left out of its list, or compared in part.
#[test]
fn a_code_has_a_class_at_any_status_of_an_error_and_in_a_stream() {
    let stop = Signal::Stop;
    let table = [
        ("insufficient_quota", stop(StopReason::QuotaExhausted)),
        ("organization_usage_limit_exceeded", stop(StopReason::QuotaExhausted)),
        ("exceeded_current_quota_error", stop(StopReason::QuotaExhausted)),
        ("enforced_spend_limit_reached", stop(StopReason::SpendLimit)),
        ("billing_hard_limit_reached", stop(StopReason::SpendLimit)),
        ("organization_spend_limit_exceeded", stop(StopReason::SpendLimit)),
        ("project_spend_limit_exceeded", stop(StopReason::SpendLimit)),
        ("billing_error", stop(StopReason::PaymentRequired)),
        ("billing_not_active", stop(StopReason::PaymentRequired)),
        ("payment_required", stop(StopReason::PaymentRequired)),
        ("insufficient_credits", stop(StopReason::PaymentRequired)),
        ("credit_balance_exhausted", stop(StopReason::PaymentRequired)),
        ("account_deactivated", stop(StopReason::Other)),
        ("slow_down", Signal::Ramp),
        ("server_is_overloaded", Signal::Overload),
        ("overloaded_error", Signal::Overload),
        ("service_unavailable", Signal::Overload),
        ("service_unavailable_error", Signal::Overload),
        ("capacity_exceeded", Signal::Overload),
        ("queue_exceeded", Signal::Overload),
        ("NoCapacity", Signal::Overload),
    ];
    for (code, signal) in table {
        for key in ["type", "code", "status"] {
            let body = format!(r#"{{"error": {{"{key}": "{code}", "message": "No."}}}}"#);
            for status in [400, 403, 429, 500, 503] {
                assert_eq!(read(status, &[], &body).signal(), signal, "{code} in {key}, {status}");
            }
            assert_eq!(reader().read_event(body.as_bytes()).signal(), signal, "{code} in {key}");
        }
    }
    for code in [
        "rate_limit_exceeded",
        "rate_limit_error",
        "too_many_requests",
        "request_quota_exceeded",
        "RateLimitReached",
    ] {
        let body = format!(r#"{{"error": {{"code": "{code}"}}}}"#);
        assert_eq!(read(429, &[], &body).signal(), Signal::CoolDown, "{code}");
    }
}

/// Broken by: `retry-after` taken for the end of a stop.
#[test]
fn a_delay_beside_a_stop_does_not_lift_it() {
    let body = r#"{"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "You exceeded your current quota. Please try again in 20s."}}"#;
    let found = read(429, &[("retry-after", "20")], body);
    assert_eq!(found, Feedback::stop(StopReason::QuotaExhausted));
}

/// Broken by: the limit of the body's status, or of `Proceed`'s delay, left out.
#[test]
fn a_delay_beside_an_overload_is_told_and_capped() {
    let slow = r#"{"error": {"code": "slow_down", "message": "Slow down."}}"#;
    assert_eq!(read(503, &[("retry-after", "3")], slow), Feedback::cool_down(secs(3)).ramp());
    assert_eq!(
        read(529, &[("retry-after", "3")], ""),
        Feedback::overload().with_retry_after(secs(3))
    );
    assert_eq!(read(529, &[("retry-after", "900")], "").retry_after(), Some(secs(120)));
}

/// Broken by: a request that is too large pauses everybody.
#[test]
fn a_request_that_can_never_fit_concerns_nobody_else() {
    let body = r#"{"error": {"message": "Request too large for m on tokens per min (TPM): Limit 10000, Requested 12000.", "type": "tokens", "code": "rate_limit_exceeded"}}"#;
    for status in [413, 429] {
        let found = read(status, &[("retry-after", "5")], body);
        assert_eq!(found, Feedback::new().with_should_retry(false), "{status}");
    }
}

/// Broken by: anything but `true` and `false` believed; the first of two that contradict each other believed.
#[test]
fn whether_to_retry_is_passed_on() {
    for (values, expected) in [
        (vec!["true"], Some(true)),
        (vec!["false"], Some(false)),
        (vec!["yes"], None),
        (vec!["true", "true"], Some(true)),
        (vec!["true", "false"], None),
        (vec!["1", "true"], None),
    ] {
        let list: Vec<_> = values.iter().map(|value| ("x-should-retry", *value)).collect();
        let found = read(429, &list, "");
        assert_eq!(
            (found.signal(), found.should_retry()),
            (Signal::CoolDown, expected),
            "{values:?}"
        );
    }
}

/// Broken by: an error searched for anywhere in the body; `"error": null` taken for one.
#[test]
fn what_the_model_writes_is_no_error() {
    for body in [
        r#"{"id": "r", "error": null, "output": [{"content": "insufficient_quota, please try again in 5s"}]}"#,
        r#"{"choices": [{"message": {"content": "{\"error\": {\"code\": \"rate_limit_exceeded\"}}"}}]}"#,
        r#"{"type": "message", "code": "rate_limit_exceeded", "message": "Please try again in 5s."}"#,
        r#"{"response": {"error": null, "output_text": "slow_down"}}"#,
        "Please try again in 5s.",
        "[]",
        "7",
    ] {
        assert_eq!(read(200, &[], body), Feedback::new(), "{body}");
        assert_eq!(reader().read_event(body.as_bytes()), Feedback::new(), "{body}");
    }
}

/// Broken by: a body that is no JSON, or whose error is a mere text, not read.
#[test]
fn an_error_may_be_plain_text() {
    let expected = Feedback::cool_down(secs(5));
    for body in [
        "Too many requests, retry after 5 seconds",
        r#"{"error": "Too many requests: Try Again In 5s."}"#,
        r#"{"message": "Try again in 5 sec"}"#,
        r#"{"error": null, "message": "Try again in 5s"}"#,
        "<html>Please retry in 5s</html>",
    ] {
        assert_eq!(read(429, &[], body), expected, "{body}");
    }
}
