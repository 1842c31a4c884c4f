//! `Feedback`: what a provider has said, as a value.

use super::quota::Quota;
use core::fmt;
use core::time::Duration;

/// What a provider has said in an answer: what callers should do now, and what is left of its limits.
///
/// A plain value. With the feature `http`, `Feedback::from_response` reads it from an answer's status, headers and body.
/// Without it, make one from your SDK's error:
///
/// ```
/// use ringgate::{Feedback, Quota, QuotaKind, QuotaWindow, Signal, StopReason};
/// use std::time::Duration;
///
/// // 429, with `retry-after: 7`.
/// let feedback = Feedback::cool_down(Duration::from_secs(7));
/// assert_eq!(feedback.signal(), Signal::CoolDown);
/// assert_eq!(feedback.retry_after(), Some(Duration::from_secs(7)));
///
/// // 429, and nothing is said about how long.
/// assert_eq!(Feedback::cool_down(None).retry_after(), None);
///
/// // The credits are used up.
/// let feedback = Feedback::stop(StopReason::PaymentRequired);
/// assert_eq!(feedback.signal(), Signal::Stop(StopReason::PaymentRequired));
///
/// // 200, with what is left.
/// let left = Quota::new(QuotaKind::Requests, QuotaWindow::Minute).with_remaining(12);
/// let feedback = Feedback::new().with_quota(left);
/// assert_eq!(feedback.signal(), Signal::Proceed);
/// assert_eq!(feedback.quotas(), [left]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Feedback {
    signal: Signal,
    retry_after: Option<Duration>,
    should_retry: Option<bool>,
    quotas: Vec<Quota>,
}

/// What all callers that share the key should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Signal {
    /// Go on as before.
    #[default]
    Proceed,
    /// Pause, then go on in order. A 429.
    CoolDown,
    /// Pause, then begin slowly: the calls have grown too fast. OpenAI's `slow_down`, Anthropic's acceleration limits.
    Ramp,
    /// Fewer calls at a time, at the same rate: the provider is overloaded. A 503 or 529.
    Overload,
    /// Stop: waiting for some seconds does not help.
    Stop(StopReason),
}

/// Why a provider refuses all calls until something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The account's quota is used up.
    QuotaExhausted,
    /// A spend limit has been reached.
    SpendLimit,
    /// The account has no credit, or a bill is open.
    PaymentRequired,
    /// The quota of the day is used up.
    DailyQuota,
    /// Another reason.
    Other,
}

impl Feedback {
    /// Says nothing: go on as before.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_signal(Signal::Proceed)
    }

    pub(super) const fn with_signal(signal: Signal) -> Self {
        Self { signal, retry_after: None, should_retry: None, quotas: Vec::new() }
    }

    /// Pause for so long, or for an unknown time (`None`).
    #[must_use]
    pub fn cool_down(retry_after: impl Into<Option<Duration>>) -> Self {
        Self { retry_after: retry_after.into(), ..Self::with_signal(Signal::CoolDown) }
    }

    /// Fewer calls at a time. Add [`with_retry_after`](Self::with_retry_after) if a time was told.
    #[must_use]
    pub const fn overload() -> Self {
        Self::with_signal(Signal::Overload)
    }

    /// Stop, until a person has changed something. Add [`with_retry_after`](Self::with_retry_after) if it ends by itself.
    ///
    /// ```
    /// use ringgate::{Feedback, StopReason};
    /// use std::time::Duration;
    ///
    /// let midnight = Duration::from_secs(3 * 60 * 60);
    /// let feedback = Feedback::stop(StopReason::DailyQuota).with_retry_after(midnight);
    /// assert_eq!(feedback.retry_after(), Some(midnight));
    /// ```
    #[must_use]
    pub const fn stop(reason: StopReason) -> Self {
        Self::with_signal(Signal::Stop(reason))
    }

    /// After the pause begin slowly: turns [`CoolDown`](Signal::CoolDown) into [`Ramp`](Signal::Ramp), and changes no
    /// other signal.
    ///
    /// ```
    /// use ringgate::{Feedback, Signal};
    ///
    /// assert_eq!(Feedback::cool_down(None).ramp().signal(), Signal::Ramp);
    /// assert_eq!(Feedback::overload().ramp().signal(), Signal::Overload);
    /// ```
    #[must_use]
    pub fn ramp(mut self) -> Self {
        if self.signal == Signal::CoolDown {
            self.signal = Signal::Ramp;
        }
        self
    }

    /// The same feedback with the time to wait. It means nothing with [`Proceed`](Signal::Proceed).
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// The same feedback, with what the provider says about sending this call again.
    #[must_use]
    pub const fn with_should_retry(mut self, should_retry: bool) -> Self {
        self.should_retry = Some(should_retry);
        self
    }

    /// The same feedback with one quota more.
    ///
    /// There is one for each kind and window. Of two, that with less remaining is kept; if that is equal or not known,
    /// that with the lower limit; then the first.
    #[must_use]
    pub fn with_quota(mut self, quota: Quota) -> Self {
        match self.quotas.iter_mut().find(|other| other.is_of(&quota)) {
            None => self.quotas.push(quota),
            Some(other) if quota.is_tighter_than(other) => *other = quota,
            Some(_) => {}
        }
        self
    }

    /// Whether there is something in it for other calls.
    pub(crate) fn says_something(&self) -> bool {
        self.signal != Signal::Proceed || !self.quotas.is_empty()
    }

    /// What callers should do.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// How long from now on, if it was told: to pause; with [`Overload`](Signal::Overload) to wait before a call is sent
    /// again; with [`Stop`](Signal::Stop) until it ends by itself.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether *this* call may be sent again, if the provider says so. It says nothing about other calls.
    #[must_use]
    pub const fn should_retry(&self) -> Option<bool> {
        self.should_retry
    }

    /// What is left of the provider's limits: at most one for each kind and window, in the order in which they came.
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuotaExhausted => "quota exhausted",
            Self::SpendLimit => "spend limit reached",
            Self::PaymentRequired => "payment required",
            Self::DailyQuota => "daily quota exhausted",
            Self::Other => "stopped by the provider",
        })
    }
}
