//! What a provider allows, in its own terms.

use crate::limiter::{Limiter, LimiterBuilder};
use crate::rate::Rate;
use core::time::Duration;

/// Rate and concurrency that a pool keeps.
///
/// ```
/// use ringgate::RateLimitPolicy;
///
/// let policy = RateLimitPolicy::rpm(60).with_max_concurrent(4);
/// assert_eq!((policy.rpm, policy.max_concurrent), (60, 4));
/// ```
///
/// # Margin
///
/// Each call counts a little longer than the window, because the provider counts arrivals and the pool
/// departures. [`LimiterBuilder::margin`] explains the default: 250 ms for a minute, which costs 0.4 % of the
/// rate, and 25 ms for a second, which costs 2.4 %. [`with_margin`](Self::with_margin) sets another one.
///
/// # Serialization
///
/// With the feature `serde` a policy is a map of `rpm` and `max_concurrent`, and where they are given
/// `per_second` (requests in any second, instead of `rpm`) and `margin` (a duration: `secs` and `nanos`).
/// Any numbers are a valid policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RateLimitPolicy {
    /// Most requests in any minute. `u32::MAX` is no limit, zero admits nothing.
    pub rpm: u32,
    /// Most requests in flight. `usize::MAX` is no limit, zero admits nothing.
    pub max_concurrent: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    per_second: Option<u32>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    margin: Option<Duration>,
}

impl RateLimitPolicy {
    /// At most `rpm` requests in any minute, and a sixth of that (at least one) in flight.
    #[must_use]
    pub fn rpm(rpm: u32) -> Self {
        let max_concurrent = usize::try_from(rpm / 6).unwrap_or(usize::MAX).max(1);
        Self { rpm, max_concurrent, per_second: None, margin: None }
    }

    /// At most `rps` requests in any second, and as many in flight.
    ///
    /// The window is one second. Its minute's worth stands in `rpm` (at most `u32::MAX`); writing
    /// another value there turns the policy into one per minute.
    #[must_use]
    pub fn per_second(rps: u32) -> Self {
        let max_concurrent = usize::try_from(rps).unwrap_or(usize::MAX);
        Self { rpm: rps.saturating_mul(60), max_concurrent, per_second: Some(rps), margin: None }
    }

    /// No limit on either.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { rpm: u32::MAX, max_concurrent: usize::MAX, per_second: None, margin: None }
    }

    /// The same policy with another number of requests in flight.
    #[must_use]
    pub fn with_max_concurrent(mut self, max: usize) -> Self {
        self.max_concurrent = max;
        self
    }

    /// The same policy with another margin; zero turns it off.
    #[must_use]
    pub fn with_margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// `None` for no limit.
    fn rate(&self) -> Option<Rate> {
        match self.per_second {
            Some(rps) if self.rpm == rps.saturating_mul(60) => Some(Rate::per_second(rps)),
            _ if self.rpm == u32::MAX => None,
            _ => Some(Rate::per_minute(self.rpm)),
        }
    }
}

/// A builder with this policy's limits and margin, to add a clock or a shared semaphore to.
impl From<&RateLimitPolicy> for LimiterBuilder {
    fn from(policy: &RateLimitPolicy) -> Self {
        let builder = Limiter::builder().max_concurrent(policy.max_concurrent);
        let Some(rate) = policy.rate() else { return builder };
        let builder = builder.rate(rate);
        match policy.margin {
            Some(margin) => builder.margin(margin),
            None => builder,
        }
    }
}

/// The limiter that keeps this policy.
impl From<&RateLimitPolicy> for Limiter {
    fn from(policy: &RateLimitPolicy) -> Self {
        LimiterBuilder::from(policy).build()
    }
}
