//! What an answer asks for, by its status and its error.
//!
//! | class | seen as |
//! |---|---|
//! | stop | the codes of [`STOPS`]; Anthropic's sentences about credit and usage limits; a violated quota of a day; 402 |
//! | ramp | OpenAI's `slow_down`; Anthropic's sentence about acceleration |
//! | overload | the codes of [`OVERLOADS`]; 498, 503 and 529 |
//! | cool down | the codes of [`COOL_DOWNS`]; 429 |
//! | nothing | all else; a request that is too large by itself, whatever its status |
//!
//! Codes are compared as a whole: `request_quota_exceeded` (Cerebras) is a rate limit, and `insufficient_quota` is none.

use super::body::ErrorBody;
use super::value::{Signal, StopReason};

const STOPS: [(&str, StopReason); 13] = [
    ("insufficient_quota", StopReason::QuotaExhausted),
    ("exceeded_current_quota_error", StopReason::QuotaExhausted),
    ("organization_usage_limit_exceeded", StopReason::QuotaExhausted),
    ("enforced_spend_limit_reached", StopReason::SpendLimit),
    ("billing_hard_limit_reached", StopReason::SpendLimit),
    ("organization_spend_limit_exceeded", StopReason::SpendLimit),
    ("project_spend_limit_exceeded", StopReason::SpendLimit),
    ("credit_balance_exhausted", StopReason::PaymentRequired),
    ("insufficient_credits", StopReason::PaymentRequired),
    ("billing_error", StopReason::PaymentRequired),
    ("billing_not_active", StopReason::PaymentRequired),
    ("payment_required", StopReason::PaymentRequired),
    ("account_deactivated", StopReason::Other),
];

const RAMPS: [&str; 1] = ["slow_down"];

const OVERLOADS: [&str; 10] = [
    "overloaded_error",
    "server_is_overloaded",
    "service_unavailable_error",
    "service_unavailable",
    "UNAVAILABLE",
    "ServiceUnavailableException",
    "service_tier_capacity_exceeded",
    "capacity_exceeded",
    "queue_exceeded",
    "NoCapacity",
];

const COOL_DOWNS: [&str; 9] = [
    "rate_limit_exceeded",
    "rate_limit_error",
    "rate_limited",
    "RateLimitReached",
    "too_many_requests",
    "too_many_requests_error",
    "TooManyRequestsException",
    "ThrottlingException",
    "RESOURCE_EXHAUSTED",
];

/// The class, and whether sending the call again can help, if the error itself shows it.
pub(super) fn classify(status: Option<u16>, error: &ErrorBody) -> Signal {
    let status = status.filter(|status| *status >= 400).or(error.status());
    if is_too_large(status, error) {
        return Signal::Proceed;
    }
    if let Some(reason) = stop(status, error) {
        return Signal::Stop(reason);
    }
    let message = error.message();
    let grows_too_fast =
        message.contains("usage increase rate") || message.contains("acceleration limit");
    match status {
        _ if error.is_named(&RAMPS) => Signal::Ramp,
        _ if error.is_named(&OVERLOADS) => Signal::Overload,
        Some(429) if grows_too_fast => Signal::Ramp,
        Some(429) => Signal::CoolDown,
        Some(498 | 503 | 529) => Signal::Overload,
        _ if error.is_named(&COOL_DOWNS) && grows_too_fast => Signal::Ramp,
        _ if error.is_named(&COOL_DOWNS) => Signal::CoolDown,
        _ => Signal::Proceed,
    }
}

/// It will never fit, however long anybody waits; others are not concerned.
pub(super) fn is_too_large(status: Option<u16>, error: &ErrorBody) -> bool {
    status == Some(413) || error.message().starts_with("request too large")
}

fn stop(status: Option<u16>, error: &ErrorBody) -> Option<StopReason> {
    let named = STOPS.iter().find(|(name, _)| error.is_named(&[name])).map(|(_, reason)| *reason);
    let said = || {
        let message = error.message();
        let starts = |start| message.starts_with(start);
        if starts("your credit balance is too low") {
            Some(StopReason::PaymentRequired)
        } else if starts("you have reached your") && message.contains("api usage limits") {
            Some(StopReason::SpendLimit)
        } else if error.violates_a_day() {
            Some(StopReason::DailyQuota)
        } else if status == Some(402) {
            Some(StopReason::PaymentRequired)
        } else {
            None
        }
    };
    named.or_else(said)
}

/// Whether the error is about a limit per day.
pub(super) fn is_daily(error: &ErrorBody) -> bool {
    let words = ["per day", "per-day", "(rpd)", "(tpd)"];
    words.iter().any(|words| error.message().contains(words))
}
