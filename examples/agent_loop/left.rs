//! What the server says is left of its limits, in the headers of each answer; and what a client reads there.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use core::time::Duration;
use ringgate::{Feedback, Quota, QuotaKind, QuotaWindow};

/// The status of an overloaded server.
pub(crate) const OVERLOADED: u16 = 529;

/// What is left of one limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    /// Until all of it is back.
    pub(crate) reset: Duration,
}

/// What is left of all limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remains {
    pub(crate) requests: Left,
    /// `None` if tokens are not counted as a whole.
    pub(crate) tokens: Option<Left>,
}

/// The names of one limit's headers: limit, remaining, reset.
type Names = [&'static str; 3];

const REQUESTS: Names =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: Names =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

impl Remains {
    /// Writes it into the headers of an answer.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        self.requests.tell(headers, REQUESTS);
        if let Some(tokens) = self.tokens {
            tokens.tell(headers, TOKENS);
        }
    }
}

impl Left {
    fn tell(self, headers: &mut HeaderMap, names: Names) {
        let reset = format!("{}s", seconds(self.reset));
        let values = [self.limit.to_string(), self.remaining.to_string(), reset];
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// In seconds, rounded up to the millisecond.
pub(crate) fn seconds(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// What an answer says to all callers.
///
/// The windows are shorter than real ones, so they are said to be unknown: the limiter finds out which of its limits
/// is meant. `Feedback::from_response` reads the headers of real providers, and needs the feature `http`.
pub(crate) fn feedback(status: StatusCode, headers: &HeaderMap) -> Feedback {
    let retry_after = retry_after(headers);
    let feedback = match status.as_u16() {
        429 => Feedback::cool_down(retry_after),
        OVERLOADED => {
            retry_after.into_iter().fold(Feedback::overload(), Feedback::with_retry_after)
        }
        _ => Feedback::new(),
    };
    let kinds = [(QuotaKind::Requests, REQUESTS), (QuotaKind::Tokens, TOKENS)];
    let quotas = kinds.into_iter().filter_map(|(kind, names)| quota(headers, kind, names));
    quotas.fold(feedback, Feedback::with_quota)
}

/// The header `retry-after`, which may have a fraction here.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    duration(headers.get(RETRY_AFTER)?.to_str().ok()?)
}

fn quota(headers: &HeaderMap, kind: QuotaKind, names: Names) -> Option<Quota> {
    let [limit, remaining, reset] =
        names.map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    let quota = Quota::new(kind, QuotaWindow::Unknown)
        .with_limit(limit?.parse().ok()?)
        .with_remaining(remaining?.parse().ok()?);
    Some(quota.with_reset_after(duration(reset?.strip_suffix('s')?)?))
}

fn duration(seconds: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}
