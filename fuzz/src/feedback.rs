//! Answers of providers, as text: real ones and any others.
//!
//! ```text
//! 429 4
//! retry-after: 7
//! x-ratelimit-remaining-tokens: 0
//!
//! {"error": {"code": "rate_limit_exceeded"}}
//! ```
//!
//! The first line is the status and, if there is one, the number of a dialect.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ringgate::{Dialect, Feedback, FeedbackReader, Signal};
use std::time::{Duration, UNIX_EPOCH};

/// 2026-11-28T12:00:00Z.
const NOW: Duration = Duration::from_hours(498_852);
const MONTH: Duration = Duration::from_hours(31 * 24);
const DEFAULT_CAP: Duration = Duration::from_mins(2);

const DIALECTS: [Dialect; 10] = [
    Dialect::Anthropic,
    Dialect::Groq,
    Dialect::Azure,
    Dialect::OpenAi,
    Dialect::Bedrock,
    Dialect::Cerebras,
    Dialect::Mistral,
    Dialect::Together,
    Dialect::Gemini,
    Dialect::OpenRouter,
];

/// Reads an answer, whole and in parts, under several caps. Nothing panics. Pauses stay within the cap, all other times
/// within a month; there is one quota for each kind and window. A lower cap only shortens a pause, or makes a stop of a
/// limit of a day. The order of headers does not matter. Seconds in `retry-after` are what is told where nothing else
/// speaks. An event that is no JSON says nothing.
///
/// Caught: a unit multiplied without saturation; a cap left out; the first of two delays taken; bytes taken for text
/// unchecked; quotas of two forms that mix; a moment farther off than a month.
pub fn feedback(data: &[u8]) {
    let Some(answer) = Answer::parse(data) else { return };
    let reader = FeedbackReader::new().now(UNIX_EPOCH + NOW);
    let reader = answer.dialect.map_or(reader, |dialect| reader.dialect(dialect));
    let found = answer.read(reader);
    check(&found, DEFAULT_CAP);
    answer.check_caps(reader);
    answer.check_order(reader, &found);
    answer.check_seconds(&found);
    // By the answer's own clock, or the local one.
    check(
        &Feedback::from_response(answer.status, &answer.headers(false), answer.body),
        DEFAULT_CAP,
    );
    check_event(answer.body.unwrap_or(data), reader);
}

fn check_event(data: &[u8], reader: FeedbackReader) {
    let event = reader.read_event(data);
    check(&event, DEFAULT_CAP);
    let first = data.trim_ascii_start().first();
    if !first.is_some_and(|byte| b"{[".contains(byte)) {
        assert_eq!(event, Feedback::new());
    }
}

struct Answer<'a> {
    status: StatusCode,
    dialect: Option<Dialect>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<&'a [u8]>,
}

impl<'a> Answer<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        let (first, mut rest) = split_line(data);
        let mut words = first.split(|byte| *byte == b' ');
        let status = StatusCode::from_bytes(words.next()?).ok()?;
        let dialect = words.next().and_then(|word| word.first());
        let dialect = dialect.map(|byte| DIALECTS[usize::from(byte % 10)]);
        let mut headers = Vec::new();
        loop {
            let (line, after) = split_line(rest);
            rest = after;
            if line.is_empty() {
                break;
            }
            headers.extend(header(line));
        }
        let body = Some(rest).filter(|body| !body.is_empty());
        Some(Self { status, dialect, headers, body })
    }

    fn headers(&self, is_reversed: bool) -> HeaderMap {
        let mut list: Vec<_> = self.headers.clone();
        if is_reversed {
            list.reverse();
        }
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(name, value);
        }
        headers
    }

    fn read(&self, reader: FeedbackReader) -> Feedback {
        reader.read(self.status, &self.headers(false), self.body)
    }

    fn check_caps(&self, reader: FeedbackReader) {
        let uncapped = self.read(reader.max_pause(Duration::MAX));
        check(&uncapped, MONTH);
        for cap in [Duration::ZERO, Duration::from_millis(1_500), DEFAULT_CAP] {
            let capped = self.read(reader.max_pause(cap));
            check(&capped, cap);
            assert_eq!(capped.quotas(), uncapped.quotas());
            match (uncapped.signal(), capped.signal()) {
                (Signal::Stop(_) | Signal::Proceed, _) => assert_eq!(capped, uncapped),
                (Signal::CoolDown, Signal::Stop(_)) => {
                    assert_eq!(capped.retry_after(), uncapped.retry_after());
                }
                (before, after) => {
                    assert_eq!(before, after);
                    assert_eq!(
                        capped.retry_after(),
                        uncapped.retry_after().map(|wait| wait.min(cap))
                    );
                }
            }
        }
    }

    fn check_order(&self, reader: FeedbackReader, found: &Feedback) {
        let turned = reader.read(self.status, &self.headers(true), self.body);
        let said = |feedback: &Feedback| {
            (feedback.signal(), feedback.retry_after(), feedback.should_retry())
        };
        // Of two exceptions the first is read.
        let exceptions = self.headers.iter().filter(|(name, _)| name == "x-amzn-errortype");
        if exceptions.count() < 2 {
            assert_eq!(said(&turned), said(found));
        }
        assert_eq!(turned.quotas().len(), found.quotas().len());
    }

    /// Digits alone are easy to read in another way.
    fn check_seconds(&self, found: &Feedback) {
        let is_delay =
            |(name, _): &&(HeaderName, HeaderValue)| name.as_str().starts_with("retry-after");
        let delays: Vec<_> = self.headers.iter().filter(is_delay).collect();
        let [(name, value)] = delays[..] else { return };
        let digits = value.to_str().unwrap_or_default();
        let is_plain =
            (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if name != "retry-after" || !is_plain || found.signal() != Signal::CoolDown {
            return;
        }
        let seconds: u64 = digits.parse().expect("digits");
        if seconds > 0 {
            assert_eq!(found.retry_after(), Some(Duration::from_secs(seconds).min(DEFAULT_CAP)));
        }
    }
}

fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    end.map_or((data, &[]), |end| (&data[..end], &data[end + 1..]))
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

fn check(feedback: &Feedback, cap: Duration) {
    let most = if matches!(feedback.signal(), Signal::Stop(_)) { MONTH } else { cap };
    assert!(feedback.retry_after().is_none_or(|wait| wait <= most), "{feedback:?}");
    assert!(feedback.signal() != Signal::Proceed || feedback.retry_after().is_none());
    let quotas = feedback.quotas();
    for (at, quota) in quotas.iter().enumerate() {
        assert!(quota.reset_after().is_none_or(|reset| reset <= MONTH), "{quota:?}");
        let key = (quota.kind(), quota.window());
        assert!(!quotas[..at].iter().any(|other| (other.kind(), other.window()) == key));
    }
}
