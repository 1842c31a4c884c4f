//! Answers to read, made for the tests.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ringgate::{Feedback, FeedbackReader, Quota, QuotaKind, QuotaWindow};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2026-11-28T12:00:00Z, a Saturday, 4 o'clock in California.
pub(crate) const NOW: u64 = 1_795_867_200;

pub(crate) fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// A reader at noon.
pub(crate) fn reader() -> FeedbackReader {
    FeedbackReader::new().now(noon())
}

pub(crate) fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

/// Reads an answer at noon. An empty body is none.
pub(crate) fn read(status: u16, list: &[(&str, &str)], body: &str) -> Feedback {
    read_by(reader(), status, list, body)
}

pub(crate) fn read_by(
    reader: FeedbackReader,
    status: u16,
    list: &[(&str, &str)],
    body: &str,
) -> Feedback {
    let status = StatusCode::from_u16(status).expect("a status");
    let body = Some(body.as_bytes()).filter(|body| !body.is_empty());
    reader.read(status, &headers(list), body)
}

/// A quota with all its numbers.
pub(crate) fn quota(
    kind: QuotaKind,
    window: QuotaWindow,
    limit: u64,
    remaining: u64,
    reset_after: Duration,
) -> Quota {
    Quota::new(kind, window)
        .with_limit(limit)
        .with_remaining(remaining)
        .with_reset_after(reset_after)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
