//! Reading a [`Feedback`] from an answer.

use super::body::{self, ErrorBody, Expect};
use super::classify::{classify, is_daily, is_too_large};
use super::dates;
use super::dialect::Dialect;
use super::forms::LONGEST;
use super::headers::{self, Quotas};
use super::quota::QuotaWindow;
use super::value::{Feedback, Signal, StopReason};
use crate::time::WallTime;
use core::time::Duration;
use http::{HeaderMap, StatusCode};
use std::time::SystemTime;

/// Official SDKs do not retry after longer than this.
const DEFAULT_MAX_PAUSE: Duration = Duration::from_secs(120);

/// Reads [`Feedback`] from answers, with other settings than [`Feedback::from_response`].
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use ringgate::{Dialect, FeedbackReader, QuotaWindow};
/// use std::time::Duration;
///
/// let reader = FeedbackReader::new().dialect(Dialect::Groq).max_pause(Duration::from_secs(30));
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", "90".parse()?);
/// headers.insert("x-ratelimit-remaining-requests", "14370".parse()?);
/// let feedback = reader.read(StatusCode::TOO_MANY_REQUESTS, &headers, None);
/// assert_eq!(feedback.retry_after(), Some(Duration::from_secs(30)));
/// assert_eq!(feedback.quotas()[0].window(), QuotaWindow::Day);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct FeedbackReader {
    dialect: Option<Dialect>,
    max_pause: Duration,
    /// Since 1970.
    now: Option<Duration>,
}

impl Default for FeedbackReader {
    fn default() -> Self {
        Self::new()
    }
}

impl FeedbackReader {
    /// The settings of [`Feedback::from_response`]: any provider, at most two minutes.
    #[must_use]
    pub const fn new() -> Self {
        Self { dialect: None, max_pause: DEFAULT_MAX_PAUSE, now: None }
    }

    /// Reads only what this provider sends, and reads what is ambiguous as this provider means it.
    ///
    /// Otherwise the names of the headers show the provider. If they do not, a window that is not named is
    /// [`Unknown`](crate::QuotaWindow::Unknown).
    #[must_use]
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// The longest pause: a longer one is cut to this. The default is two minutes. It does not bound how long a
    /// [`Stop`](Signal::Stop) holds, which is a month at most, nor the times in [`Feedback::quotas`].
    #[must_use]
    pub const fn max_pause(mut self, max_pause: Duration) -> Self {
        self.max_pause = max_pause;
        self
    }

    /// The time at which the answer came, to which moments and dates in it are compared.
    ///
    /// Otherwise it is the time in the answer's `date` header, so a local clock that is wrong does no harm; without such
    /// a header, and for events, the local clock. Times before 1970 are 1970.
    #[must_use]
    pub fn now(mut self, now: SystemTime) -> Self {
        self.now = Some(dates::since_1970(now));
        self
    }

    /// Reads an answer. See [`Feedback::from_response`].
    #[must_use]
    pub fn read(&self, status: StatusCode, headers: &HeaderMap, body: Option<&[u8]>) -> Feedback {
        let is_error = status.is_client_error() || status.is_server_error();
        let expect = if is_error { Expect::Error } else { Expect::Anything };
        let now = self.now.or_else(|| headers::date(headers)).unwrap_or_else(wall_clock);
        let dialect = self.dialect.or_else(|| Dialect::detect(headers));
        let mut quotas = Quotas::read(headers, dialect, now);
        let error = body.and_then(|body| body::read(body, expect, now, &mut quotas));
        let mut error = error.unwrap_or_default();
        error.add_name(headers::exception(headers).filter(|_| is_error));
        let delay = headers::retry_after(headers, now);
        let heard = Heard { status: Some(status.as_u16()), delay, error, quotas, now };
        let feedback = heard.into_feedback(self.max_pause);
        match headers::should_retry(headers) {
            Some(should_retry) => feedback.with_should_retry(should_retry),
            None => feedback,
        }
    }

    /// Reads an event of a stream that has begun. See [`Feedback::from_stream_event`].
    #[must_use]
    pub fn read_event(&self, data: &[u8]) -> Feedback {
        let now = self.now.unwrap_or_else(wall_clock);
        let mut quotas = Quotas::default();
        let error = body::read(data, Expect::Anything, now, &mut quotas).unwrap_or_default();
        Heard { status: None, delay: None, error, quotas, now }.into_feedback(self.max_pause)
    }
}

fn wall_clock() -> Duration {
    WallTime::now().since_1970()
}

/// All that an answer says.
struct Heard {
    status: Option<u16>,
    /// What the headers say.
    delay: Option<Duration>,
    error: ErrorBody,
    quotas: Quotas,
    now: Duration,
}

impl Heard {
    fn into_feedback(self, max_pause: Duration) -> Feedback {
        let (signal, retry_after) = self.advice(max_pause);
        let mut feedback = Feedback::with_signal(signal);
        if let Some(retry_after) = retry_after {
            feedback = feedback.with_retry_after(retry_after);
        }
        if is_too_large(self.status, &self.error) {
            feedback = feedback.with_should_retry(false);
        }
        let violations: Vec<_> = self.error.violations().collect();
        self.quotas.into_quotas().chain(violations).fold(feedback, Feedback::with_quota)
    }

    /// What to do, and for how long. A time to retry after says nothing about the end of a stop that the error names.
    fn advice(&self, max_pause: Duration) -> (Signal, Option<Duration>) {
        let capped = || self.pause().map(|pause| pause.min(max_pause));
        let signal = classify(self.status, &self.error);
        match signal {
            Signal::Proceed => (signal, None),
            Signal::CoolDown => self.long_stop(max_pause).unwrap_or_else(|| (signal, capped())),
            Signal::Ramp | Signal::Overload => (signal, capped()),
            Signal::Stop(StopReason::DailyQuota) => {
                (signal, Some(dates::until_midnight_pacific(self.now)))
            }
            Signal::Stop(_) => (signal, self.access_regained()),
        }
    }

    /// A limit of a day or a month that is used up is worth a pause if it is a short one: then it is a sliding window.
    /// Otherwise it stops all calls.
    fn long_stop(&self, max_pause: Duration) -> Option<(Signal, Option<Duration>)> {
        let pause = self.pause();
        if pause.is_some_and(|pause| pause <= max_pause) {
            return None;
        }
        let [day, month] =
            [QuotaWindow::Day, QuotaWindow::Month].map(|window| self.quotas.used_up(window));
        let (reason, quota) = if is_daily(&self.error) || day.is_some() {
            (StopReason::DailyQuota, day)
        } else {
            (StopReason::QuotaExhausted, Some(month?))
        };
        let until = pause.or_else(|| quota?.reset_after());
        Some((Signal::Stop(reason), until))
    }

    /// How long to pause, from the most to the least explicit.
    fn pause(&self) -> Option<Duration> {
        let told = self.delay.or_else(|| self.error.retry_after());
        told.or_else(|| self.quotas.until_fixed_windows_end())
    }

    /// What Anthropic says of its spend limits: "You will regain access on 2026-12-01 at 00:00 UTC."
    fn access_regained(&self) -> Option<Duration> {
        let (_, day) = self.error.message().split_once("regain access on ")?;
        let wait = dates::leading_day_at(day)?.saturating_sub(self.now).min(LONGEST);
        Some(wait).filter(|wait| !wait.is_zero())
    }
}

/// With the feature `http`.
impl Feedback {
    /// Reads what an answer says: its status, its headers, and its body if it is an error and you have it.
    ///
    /// It knows OpenAI, Azure OpenAI, Anthropic, Gemini, Groq, Cerebras, Mistral, Together, OpenRouter and Bedrock, finds
    /// out which one it is, and reads others by what they share with these. For other settings see [`FeedbackReader`].
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use ringgate::{Feedback, Signal, StopReason};
    /// use std::time::Duration;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("retry-after", "7".parse()?);
    /// let feedback = Feedback::from_response(StatusCode::TOO_MANY_REQUESTS, &headers, None);
    /// assert_eq!(feedback, Feedback::cool_down(Duration::from_secs(7)));
    ///
    /// let body = br#"{"error": {"code": "insufficient_quota", "message": "No credits are left."}}"#;
    /// let feedback = Feedback::from_response(StatusCode::TOO_MANY_REQUESTS, &headers, Some(body));
    /// assert_eq!(feedback.signal(), Signal::Stop(StopReason::QuotaExhausted));
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    ///
    /// # What it reads
    ///
    /// * **What to do**, from the status and from the type, the code and the details of the error: [`Signal`] has the
    ///   classes. A limit of a day or a month that is used up is a pause if a time within the cap was told, and a stop
    ///   otherwise. Without a body other stops cannot be told from pauses.
    /// * **The time to wait**: `retry-after-ms`, then `retry-after` in seconds, then `retry-after` as a date, then what
    ///   the body says (Google's `retryDelay`, "Please try again in 34.337s"), then the end of a fixed window that is
    ///   used up. Zero and less are not a time.
    /// * **Quotas**, from `x-ratelimit-…`, `x-tokenlimit-…`, `anthropic-ratelimit-…` and the like, also of a success.
    ///   Those of `anthropic-priority-…` and `anthropic-fast-…` are not read: they are of other capacity.
    ///
    /// # Errors
    ///
    /// None. What cannot be read has not been said. Of headers that contradict each other the more careful one counts:
    /// the longer time, the smaller number. No pause is longer than two minutes, and no other time longer than a month.
    /// The first 64 KiB of a body are looked at.
    ///
    /// # Cost
    ///
    /// Linear in the headers and the body; a body of JSON is parsed. For a success pass `None`, unless the provider may
    /// put an error into it (OpenRouter does).
    #[must_use]
    pub fn from_response(status: StatusCode, headers: &HeaderMap, body: Option<&[u8]>) -> Self {
        FeedbackReader::new().read(status, headers, body)
    }

    /// Reads the data of an event in a stream that has begun, where the status was 200 and the error comes later.
    ///
    /// Events that tell no error say nothing. What the model has written is never taken for an error.
    ///
    /// ```
    /// use ringgate::{Feedback, Signal};
    /// use std::time::Duration;
    ///
    /// let data = br#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}"#;
    /// assert_eq!(Feedback::from_stream_event(data).signal(), Signal::Overload);
    ///
    /// let data = br#"{"error": {"code": "rate_limit_exceeded", "message": "Please try again in 34.337s."}}"#;
    /// let feedback = Feedback::from_stream_event(data);
    /// assert_eq!(feedback, Feedback::cool_down(Duration::from_millis(34_337)));
    ///
    /// let data = br#"{"choices": [{"delta": {"content": "Please try again in 5s."}}]}"#;
    /// assert_eq!(Feedback::from_stream_event(data), Feedback::new());
    /// ```
    #[must_use]
    pub fn from_stream_event(data: &[u8]) -> Self {
        FeedbackReader::new().read_event(data)
    }
}
