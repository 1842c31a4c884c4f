//! A limit of the provider's, and how much of it is left.

use core::time::Duration;

/// What a provider says about one of its limits: how much it allows, what is left, and when all of it is back.
///
/// Each of the three may be missing, and may be wrong: it is what somebody else says.
///
/// ```
/// use ringgate::{Quota, QuotaKind, QuotaWindow};
/// use std::time::Duration;
///
/// let quota = Quota::new(QuotaKind::Requests, QuotaWindow::Minute)
///     .with_limit(60)
///     .with_remaining(12)
///     .with_reset_after(Duration::from_secs(48));
/// assert_eq!((quota.limit(), quota.remaining()), (Some(60), Some(12)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    kind: QuotaKind,
    window: QuotaWindow,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset_after: Option<Duration>,
}

/// What a [`Quota`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuotaKind {
    /// Requests.
    Requests,
    /// Tokens, input and output together.
    Tokens,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
}

/// The window of time that a [`Quota`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum QuotaWindow {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day: any 24 hours, or until the provider's midnight.
    Day,
    /// A month.
    Month,
    /// The provider does not say.
    #[default]
    Unknown,
}

impl QuotaWindow {
    /// How long it is. A month has 30 days. `None` if it is not known.
    #[must_use]
    pub const fn length(self) -> Option<Duration> {
        let seconds = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
            Self::Month => 30 * 24 * 60 * 60,
            Self::Unknown => return None,
        };
        Some(Duration::from_secs(seconds))
    }
}

impl Quota {
    /// A quota of which nothing else is known.
    #[must_use]
    pub const fn new(kind: QuotaKind, window: QuotaWindow) -> Self {
        Self { kind, window, limit: None, remaining: None, reset_after: None }
    }

    /// The same quota, which allows `limit` in a window.
    #[must_use]
    pub const fn with_limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The same quota, of which `remaining` is left.
    #[must_use]
    pub const fn with_remaining(mut self, remaining: u64) -> Self {
        self.remaining = Some(remaining);
        self
    }

    /// The same quota, all of which is back after `reset_after`.
    #[must_use]
    pub const fn with_reset_after(mut self, reset_after: Duration) -> Self {
        self.reset_after = Some(reset_after);
        self
    }

    /// What it counts.
    #[must_use]
    pub const fn kind(&self) -> QuotaKind {
        self.kind
    }

    /// The window that it is for.
    #[must_use]
    pub const fn window(&self) -> QuotaWindow {
        self.window
    }

    /// The most in a window.
    #[must_use]
    pub const fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// What is left of it.
    #[must_use]
    pub const fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// How long until *all* of it is back, if nothing more is used.
    ///
    /// Part of it may be back much sooner: where a provider refills continuously, `n` are back after
    /// `n × reset_after ÷ (limit − remaining)`.
    #[must_use]
    pub const fn reset_after(&self) -> Option<Duration> {
        self.reset_after
    }

    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.kind, self.window) == (other.kind, other.window)
    }

    /// Whether it holds back more than another of the same kind and window. What is not said holds nothing back.
    pub(super) fn is_tighter_than(&self, other: &Self) -> bool {
        let key =
            |quota: &Self| (quota.remaining.unwrap_or(u64::MAX), quota.limit.unwrap_or(u64::MAX));
        key(self) < key(other)
    }
}

/// What headers say one at a time.
#[cfg(feature = "http")]
impl Quota {
    pub(super) fn lower_limit(&mut self, limit: u64) {
        self.limit = Some(self.limit.map_or(limit, |other| other.min(limit)));
    }

    pub(super) fn lower_remaining(&mut self, remaining: u64) {
        self.remaining = Some(self.remaining.map_or(remaining, |other| other.min(remaining)));
    }

    pub(super) fn delay_reset(&mut self, reset_after: Duration) {
        self.reset_after =
            Some(self.reset_after.map_or(reset_after, |other| other.max(reset_after)));
    }

    pub(super) fn set_window(&mut self, window: QuotaWindow) {
        self.window = window;
    }
}
