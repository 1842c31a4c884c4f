//! What stands in the body of an answer: the error, whatever its shape.
//!
//! | provider | shape |
//! |---|---|
//! | OpenAI, Groq, Together, OpenRouter | `{"error": {"type", "code", "message"}}` |
//! | OpenAI, in a stream | the same, or `{"type": "error", "code", "message"}`, or `{"response": {"error": …}}` |
//! | Azure | as OpenAI, or `{"statusCode", "message"}` |
//! | Anthropic | `{"type": "error", "error": {"type", "message", "details": {"error_code"}}}` |
//! | Gemini | `{"error": {"code", "status", "message", "details": […]}}`, in a stream in an array |
//! | Cerebras, Mistral | `{"type", "code", "message"}` |
//! | Bedrock | `{"__type", "message"}`, in a stream `{"throttlingException": {"message"}}` |

use super::dialect::Dialect;
use super::forms;
use super::headers::Quotas;
use super::quota::{Quota, QuotaKind, QuotaWindow};
use core::time::Duration;
use serde_json::{Map, Value};

/// What is looked at of a body.
const MOST_BYTES: usize = 64 * 1024;

/// An error, as its body tells it.
#[derive(Default)]
pub(super) struct ErrorBody {
    names: Vec<String>,
    message: String,
    status: Option<u16>,
    retry_delay: Option<Duration>,
    violations: Vec<Quota>,
}

/// Whether the answer is known to be an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// The body tells about it, in any shape, or is its text.
    Error,
    /// It may be an ordinary answer, which is not to be mistaken for an error.
    Anything,
}

/// Reads the error in a body, and adds the quotas that it tells.
pub(super) fn read(
    body: &[u8],
    expect: Expect,
    now: Duration,
    quotas: &mut Quotas,
) -> Option<ErrorBody> {
    let body = &body[..body.len().min(MOST_BYTES)];
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        let message = String::from_utf8_lossy(body).to_lowercase();
        return (expect == Expect::Error).then(|| ErrorBody { message, ..ErrorBody::default() });
    };
    let found = find(&json, expect)?;
    let mut error = ErrorBody::default();
    error.read(&found, now, quotas);
    Some(error)
}

/// Where an error stands in a body.
struct Found<'a> {
    name: Option<&'a str>,
    error: &'a Value,
}

fn find(json: &Value, expect: Expect) -> Option<Found<'_>> {
    let top = match json {
        Value::Array(items) => items.first()?,
        other => other,
    };
    let unnamed = |error| Found { name: None, error };
    let nested = [top.get("error"), top.get("response").and_then(|response| response.get("error"))];
    if let Some(error) = nested.into_iter().flatten().find(|error| !error.is_null()) {
        return Some(unnamed(error));
    }
    if let Some((name, error)) =
        top.as_object()?.iter().find(|(name, _)| name.ends_with("Exception"))
    {
        return Some(Found { name: Some(name), error });
    }
    let says_error = |key| top.get(key).and_then(Value::as_str) == Some("error");
    let is_error = expect == Expect::Error || says_error("type") || says_error("object");
    is_error.then(|| unnamed(top))
}

impl ErrorBody {
    /// Whether the type, the code or the status of the error is one of these. Case does not matter.
    pub(super) fn is_named(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.iter().any(|other| name.eq_ignore_ascii_case(other)))
    }

    pub(super) fn add_name(&mut self, name: Option<&str>) {
        self.names.extend(name.map(plain));
    }

    /// In lower case.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The status that the body tells, where the answer itself has none.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_delay.or_else(|| forms::delay_in(&self.message))
    }

    /// Whether a quota of a day is named as violated.
    pub(super) fn violates_a_day(&self) -> bool {
        self.violations.iter().any(|quota| quota.window() == QuotaWindow::Day)
    }

    pub(super) fn violations(&self) -> impl Iterator<Item = Quota> {
        self.violations.iter().copied()
    }

    fn read(&mut self, found: &Found<'_>, now: Duration, quotas: &mut Quotas) {
        self.add_name(found.name);
        let Value::Object(error) = found.error else {
            self.message = found.error.as_str().unwrap_or_default().to_lowercase();
            return;
        };
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        self.message = text("message").or(text("Message")).unwrap_or_default().to_lowercase();
        self.names
            .extend(["type", "code", "status", "__type"].into_iter().filter_map(text).map(plain));
        self.status = ["code", "status", "statusCode", "status_code"]
            .into_iter()
            .find_map(|key| status_of(error.get(key)?));
        match error.get("details") {
            Some(Value::Array(details)) => {
                for detail in details {
                    self.read_detail(detail);
                }
            }
            Some(details) => self.names.extend(as_str(details, "error_code").map(plain)),
            None => {}
        }
        if let Some(headers) = headers_of(error) {
            read_headers(headers, now, quotas);
        }
    }

    /// One of Google's.
    fn read_detail(&mut self, detail: &Value) {
        self.names.extend(as_str(detail, "reason").map(plain));
        if let Some(delay) = as_str(detail, "retryDelay") {
            self.retry_delay = forms::delay(delay, Duration::from_secs(1));
        }
        let violations = detail.get("violations").and_then(Value::as_array);
        self.violations.extend(violations.into_iter().flatten().filter_map(violation));
    }
}

fn as_str<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// A name without the namespace that AWS puts before it.
fn plain(name: &str) -> String {
    name.rsplit('#').next().unwrap_or(name).to_owned()
}

/// An HTTP status of an error, as a number or as text.
fn status_of(value: &Value) -> Option<u16> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    number.filter(|status| (400..600).contains(status))
}

/// `quotaId` is as `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
fn violation(violation: &Value) -> Option<Quota> {
    const WINDOWS: [(&str, QuotaWindow); 4] = [
        ("PerDay", QuotaWindow::Day),
        ("PerHour", QuotaWindow::Hour),
        ("PerMinute", QuotaWindow::Minute),
        ("PerSecond", QuotaWindow::Second),
    ];
    let id = as_str(violation, "quotaId")?;
    let window = WINDOWS.iter().find(|(part, _)| id.contains(part))?.1;
    let kind = match () {
        () if id.contains("OutputToken") => QuotaKind::OutputTokens,
        () if id.contains("InputToken") => QuotaKind::InputTokens,
        () if id.contains("Token") => QuotaKind::Tokens,
        () => QuotaKind::Requests,
    };
    let quota = Quota::new(kind, window).with_remaining(0);
    let limit = as_str(violation, "quotaValue").and_then(forms::count);
    Some(limit.map_or(quota, |limit| quota.with_limit(limit)))
}

/// What OpenRouter passes on in `metadata.headers`.
fn headers_of(error: &Map<String, Value>) -> Option<&Map<String, Value>> {
    error.get("metadata")?.get("headers")?.as_object()
}

fn read_headers(headers: &Map<String, Value>, now: Duration, quotas: &mut Quotas) {
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        match value {
            Value::String(text) => quotas.add(&name, text, Some(Dialect::OpenRouter), now),
            Value::Number(number) => {
                quotas.add(&name, &number.to_string(), Some(Dialect::OpenRouter), now);
            }
            _ => {}
        }
    }
}
