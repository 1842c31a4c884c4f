//! Refusals in each dialect's form.

use crate::dialect::{Dialect, ErrorForm};
use crate::ledger::Refusal;
use crate::surprise::Stop;
use crate::time::go;
use core::time::Duration;

/// The error, and after what time to try again, if it says so.
pub(crate) fn refusal(
    refusal: Refusal,
    dialect: Dialect,
    least_answer: Duration,
) -> (ErrorForm, Option<Duration>) {
    match dialect {
        Dialect::OpenAi => by_openai(refusal, least_answer),
        Dialect::Anthropic => by_anthropic(refusal, least_answer),
    }
}

/// The request is none that a call can be made of.
pub(crate) fn invalid(status: u16, message: &str) -> ErrorForm {
    let kind = if status == 404 { "not_found_error" } else { "invalid_request_error" };
    ErrorForm { status, kind, code: None, message: message.to_owned() }
}

/// What a stream says in place of its rest.
pub(crate) fn overloaded(dialect: Dialect) -> ErrorForm {
    let [openai, anthropic] = [
        (503, "service_unavailable_error", Some("server_is_overloaded")),
        (529, "overloaded_error", None),
    ];
    let ((status, kind, code), message) = match dialect {
        Dialect::OpenAi => (openai, "Our servers are currently overloaded."),
        Dialect::Anthropic => (anthropic, "Overloaded"),
    };
    ErrorForm { status, kind, code, message: message.to_owned() }
}

fn by_openai(refusal: Refusal, least_answer: Duration) -> (ErrorForm, Option<Duration>) {
    let limited = |kind, what: &str, wait: Duration| {
        let message = format!("Rate limit reached for {what}. Please try again in {}.", go(wait));
        let code = Some("rate_limit_exceeded");
        (ErrorForm { status: 429, kind, code, message }, Some(wait))
    };
    match refusal {
        Refusal::Requests(wait) | Refusal::Closed(wait) => limited("requests", "requests", wait),
        Refusal::Tokens(wait) => limited("tokens", "tokens", wait),
        Refusal::TooLarge => {
            let message = "Request too large: its tokens are more than the limit.".to_owned();
            let code = Some("rate_limit_exceeded");
            (ErrorForm { status: 429, kind: "tokens", code, message }, None)
        }
        // The end of a call is unknown; this is the least that one takes.
        Refusal::InFlight => limited("requests", "concurrent requests", least_answer),
        Refusal::SlowDown(wait) => {
            let message = "Slow down: requests have come too fast.".to_owned();
            let (kind, code) = ("server_error", Some("slow_down"));
            (ErrorForm { status: 503, kind, code, message }, Some(wait))
        }
        Refusal::Overloaded => (overloaded(Dialect::OpenAi), None),
        Refusal::Stopped(stop) => (openai_stop(stop), None),
    }
}

fn openai_stop(stop: Stop) -> ErrorForm {
    let (status, kind, message) = match stop {
        Stop::QuotaExhausted => (
            429,
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        Stop::SpendLimit => {
            (429, "enforced_spend_limit_reached", "The limit on spending has been reached.")
        }
        Stop::PaymentRequired => (
            429,
            "billing_not_active",
            "Your account is not active, please check your billing details.",
        ),
        Stop::Deactivated => (401, "account_deactivated", "The account has been deactivated."),
    };
    let form = |kind| ErrorForm { status, kind, code: Some(kind), message: message.to_owned() };
    if stop == Stop::Deactivated {
        ErrorForm { kind: "invalid_request_error", ..form(kind) }
    } else {
        form(kind)
    }
}

fn by_anthropic(refusal: Refusal, least_answer: Duration) -> (ErrorForm, Option<Duration>) {
    let limited = |what: &str, wait: Option<Duration>| {
        let message = format!("This request would exceed your {what}.");
        let kind = "rate_limit_error";
        (ErrorForm { status: 429, kind, code: None, message }, wait)
    };
    match refusal {
        Refusal::Requests(wait) => limited("limit on requests", Some(wait)),
        Refusal::Tokens(wait) => limited("limit on tokens", Some(wait)),
        Refusal::TooLarge => limited("limit on tokens by itself", None),
        Refusal::InFlight => limited("limit on concurrent requests", Some(least_answer)),
        Refusal::Closed(wait) => limited("organization's rate limit", Some(wait)),
        Refusal::SlowDown(wait) => limited("organization's acceleration limit", Some(wait)),
        Refusal::Overloaded => (overloaded(Dialect::Anthropic), None),
        Refusal::Stopped(stop) => (anthropic_stop(stop), None),
    }
}

fn anthropic_stop(stop: Stop) -> ErrorForm {
    let (status, kind, message) = match stop {
        Stop::QuotaExhausted => (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the API. Please go to Plans & Billing.",
        ),
        Stop::SpendLimit => {
            (400, "invalid_request_error", "You have reached your specified API usage limits.")
        }
        Stop::PaymentRequired => {
            (402, "billing_error", "There is an issue with your billing or payment information.")
        }
        Stop::Deactivated => {
            (403, "permission_error", "Your organization may not use this resource.")
        }
    };
    ErrorForm { status, kind, code: None, message: message.to_owned() }
}
