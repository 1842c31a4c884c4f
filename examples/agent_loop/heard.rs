//! What a client reads in the headers of an answer.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use core::time::Duration;
use ringgate::{Feedback, Quota, QuotaKind, QuotaWindow};

/// The names of one limit's headers: limit, remaining, reset.
type Names = [&'static str; 3];

const REQUESTS: Names =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: Names =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

/// What an answer says to all callers.
///
/// The windows are shorter than real ones, so they are said to be unknown: the limiter finds out which of its limits
/// is meant. `Feedback::from_response` reads the headers of real providers, and needs the feature `http`.
pub(crate) fn feedback(status: StatusCode, headers: &HeaderMap) -> Feedback {
    let retry_after = retry_after(headers);
    let feedback = match status {
        StatusCode::TOO_MANY_REQUESTS => Feedback::cool_down(retry_after),
        StatusCode::SERVICE_UNAVAILABLE => {
            retry_after.into_iter().fold(Feedback::overload(), Feedback::with_retry_after)
        }
        _ => Feedback::new(),
    };
    let kinds = [(QuotaKind::Requests, REQUESTS), (QuotaKind::Tokens, TOKENS)];
    let quotas = kinds.into_iter().filter_map(|(kind, names)| quota(headers, kind, names));
    quotas.fold(feedback, Feedback::with_quota)
}

/// When to retry: in milliseconds, or else in seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get("retry-after-ms").map(|value| (value, 1000.0));
    let (value, parts) = millis.or_else(|| Some((headers.get(RETRY_AFTER)?, 1.0)))?;
    seconds(value.to_str().ok()?.parse::<f64>().ok()? / parts)
}

fn quota(headers: &HeaderMap, kind: QuotaKind, names: Names) -> Option<Quota> {
    let [limit, remaining, reset] =
        names.map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    let quota = Quota::new(kind, QuotaWindow::Unknown)
        .with_limit(limit?.parse().ok()?)
        .with_remaining(remaining?.parse().ok()?);
    Some(quota.with_reset_after(duration(reset?)?))
}

/// As Go writes it: `1m2.5s`, `12ms`.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, from_unit) = rest.split_at(end);
        let end = from_unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(from_unit.len());
        let (unit, after) = from_unit.split_at(end);
        let of_a_second = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * of_a_second;
        rest = after;
    }
    seconds(sum)
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
