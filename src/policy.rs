//! What a provider allows, in its own terms.

mod presets;

use crate::limiter::{Limiter, LimiterBuilder};
use crate::rate::Rate;
use crate::tokens::TokenLimit;
use core::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Rates, tokens and concurrency that a pool keeps.
///
/// ```
/// use ringgate::{Limiter, Rate, RateLimitPolicy};
///
/// let policy = RateLimitPolicy::rpm(60).with_max_concurrent(4);
/// assert_eq!((policy.rpm, policy.max_concurrent), (60, 4));
///
/// let policy = policy.with_tpm(30_000).with_rate(Rate::per_day(10_000));
/// assert_eq!(Limiter::from(&policy).remaining_tokens(), 30_000);
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
///
/// | key | value |
/// |---|---|
/// | `per_second` | requests in any second, instead of `rpm` |
/// | `margin` | a duration: `secs` and `nanos` |
/// | `tpm`, `input_tpm`, `output_tpm` | tokens in any minute |
/// | `rates` | a list of [`Rate`]s: `limit` and `window`, a duration |
/// | `token_limits` | a list of [`TokenLimit`]s: `counts` (`total`, `input` or `output`), `limit` and `window`; where it is given `without_refunds` (true), `output_factor` |
///
/// Any numbers are a valid policy.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use ringgate::{RateLimitPolicy, TokenLimit};
/// use std::time::Duration;
///
/// let written = r#"{
///     "rpm": 60,
///     "max_concurrent": 10,
///     "tpm": 30000,
///     "token_limits": [
///         { "counts": "total", "limit": 900000, "window": { "secs": 86400, "nanos": 0 } }
///     ]
/// }"#;
/// let day = Duration::from_secs(24 * 60 * 60);
/// let policy = RateLimitPolicy::rpm(60)
///     .with_tpm(30_000)
///     .with_token_limit(TokenLimit::total(900_000, day));
/// assert_eq!(serde_json::from_str::<RateLimitPolicy>(written).unwrap(), policy);
/// # }
/// ```
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
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    tpm: Option<u64>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    input_tpm: Option<u64>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    output_tpm: Option<u64>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    rates: Vec<Rate>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    token_limits: Vec<TokenLimit>,
}

impl RateLimitPolicy {
    fn new(rpm: u32, max_concurrent: usize) -> Self {
        Self {
            rpm,
            max_concurrent,
            per_second: None,
            margin: None,
            tpm: None,
            input_tpm: None,
            output_tpm: None,
            rates: Vec::new(),
            token_limits: Vec::new(),
        }
    }

    /// At most `rpm` requests in any minute, and a sixth of that (at least one) in flight.
    #[must_use]
    pub fn rpm(rpm: u32) -> Self {
        Self::new(rpm, usize::try_from(rpm / 6).unwrap_or(usize::MAX).max(1))
    }

    /// At most `rps` requests in any second, and as many in flight.
    ///
    /// The window is one second. Its minute's worth stands in `rpm` (at most `u32::MAX`); writing
    /// another value there turns the policy into one per minute.
    #[must_use]
    pub fn per_second(rps: u32) -> Self {
        let max_concurrent = usize::try_from(rps).unwrap_or(usize::MAX);
        let minute = Self::new(rps.saturating_mul(60), max_concurrent);
        Self { per_second: Some(rps), ..minute }
    }

    /// No limit on either.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(u32::MAX, usize::MAX)
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

    /// The same policy with a further limit on requests, per second or day for example. All hold together.
    ///
    /// See [`LimiterBuilder::rate`].
    #[must_use]
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.rates.push(rate);
        self
    }

    /// The same policy with at most `tpm` tokens in any minute, input and output together.
    ///
    /// A call reserves what it is expected to use ([`Provider::estimate`](crate::Provider::estimate)). If it uses less, the
    /// rest goes to other calls ([`Provider::usage`](crate::Provider::usage)). Zero admits only calls that expect to use none.
    #[must_use]
    pub fn with_tpm(mut self, tpm: u64) -> Self {
        self.tpm = Some(tpm);
        self
    }

    /// The same policy with at most `tpm` input tokens in any minute. See [`with_tpm`](Self::with_tpm).
    #[must_use]
    pub fn with_input_tpm(mut self, tpm: u64) -> Self {
        self.input_tpm = Some(tpm);
        self
    }

    /// The same policy with at most `tpm` output tokens in any minute, counted as they are produced. See
    /// [`with_tpm`](Self::with_tpm).
    #[must_use]
    pub fn with_output_tpm(mut self, tpm: u64) -> Self {
        self.output_tpm = Some(tpm);
        self
    }

    /// The same policy with a further limit on tokens: for another window, or counted in another way. All hold together.
    ///
    /// ```
    /// use ringgate::{RateLimitPolicy, TokenLimit};
    /// use std::time::Duration;
    ///
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let policy = RateLimitPolicy::rpm(500)
    ///     .with_tpm(30_000)
    ///     .with_token_limit(TokenLimit::total(900_000, day).without_refunds());
    /// # let _ = policy;
    /// ```
    #[must_use]
    pub fn with_token_limit(mut self, limit: TokenLimit) -> Self {
        self.token_limits.push(limit);
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

    fn rates(&self) -> impl Iterator<Item = Rate> {
        self.rate().into_iter().chain(self.rates.iter().copied())
    }

    fn token_limits(&self) -> impl Iterator<Item = TokenLimit> {
        let per_minute = [
            self.tpm.map(|tpm| TokenLimit::total(tpm, MINUTE)),
            self.input_tpm.map(|tpm| TokenLimit::input(tpm, MINUTE)),
            self.output_tpm.map(|tpm| TokenLimit::output(tpm, MINUTE)),
        ];
        per_minute.into_iter().flatten().chain(self.token_limits.iter().copied())
    }
}

/// A builder with this policy's limits and margin, to add a clock or a shared semaphore to.
///
/// The rate by `rpm` (or per second) is the first one, before those of [`with_rate`](RateLimitPolicy::with_rate). The limits on
/// tokens are in the order total, input, output per minute, then those of
/// [`with_token_limit`](RateLimitPolicy::with_token_limit).
impl From<&RateLimitPolicy> for LimiterBuilder {
    fn from(policy: &RateLimitPolicy) -> Self {
        let builder = Limiter::builder().max_concurrent(policy.max_concurrent);
        let builder = policy.rates().fold(builder, Self::rate);
        let builder = policy.token_limits().fold(builder, Self::token_limit);
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
