//! A limit on tokens, as a plain value.

use super::Usage;
use crate::error::Limit;
use core::time::Duration;

/// At most so many tokens in any window of time, and which of a call's tokens count when.
///
/// ```
/// use ringgate::TokenLimit;
/// use std::time::Duration;
///
/// let minute = Duration::from_secs(60);
/// let limit = TokenLimit::output(8_000, minute);
/// assert_eq!((limit.limit(), limit.window()), (8_000, minute));
/// ```
///
/// With the feature `serde` it is a map of `counts` (`total`, `input` or `output`), `limit` and `window` (a duration: `secs` and
/// `nanos`), and where they are given `without_refunds` (true) and `output_factor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct TokenLimit {
    counts: Counts,
    limit: u64,
    window: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "without_refunds", default, skip_serializing_if = "written::is_false")
    )]
    is_kept: bool,
    #[cfg_attr(
        feature = "serde",
        serde(default = "written::once", skip_serializing_if = "written::is_once")
    )]
    output_factor: u32,
}

/// Which tokens of a call count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
enum Counts {
    Total,
    Input,
    Output,
    /// Input and output together, as they are produced.
    #[cfg_attr(feature = "serde", serde(skip))]
    Produced,
    /// Calls: each counts as one, whatever it uses. A rate that is leased.
    #[cfg_attr(feature = "serde", serde(skip))]
    Requests,
}

/// What is not written, because it is as usual.
#[cfg(feature = "serde")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
mod written {
    pub(super) fn is_false(is_kept: &bool) -> bool {
        !is_kept
    }

    pub(super) fn once() -> u32 {
        1
    }

    pub(super) fn is_once(output_factor: &u32) -> bool {
        *output_factor == once()
    }
}

impl TokenLimit {
    const fn new(counts: Counts, limit: u64, window: Duration) -> Self {
        Self { counts, limit, window, is_kept: false, output_factor: 1 }
    }

    /// Input and output together, from the call's admission on.
    #[must_use]
    pub const fn total(limit: u64, window: Duration) -> Self {
        Self::new(Counts::Total, limit, window)
    }

    /// Input, from the call's admission on.
    #[must_use]
    pub const fn input(limit: u64, window: Duration) -> Self {
        Self::new(Counts::Input, limit, window)
    }

    /// Output as it is produced: what a call expects is held until it is settled, and what it used counts from then on.
    #[must_use]
    pub const fn output(limit: u64, window: Duration) -> Self {
        Self::new(Counts::Output, limit, window)
    }

    /// Input and output together: what a call expects is held until it is settled.
    pub(crate) const fn produced(limit: u64, window: Duration) -> Self {
        Self::new(Counts::Produced, limit, window)
    }

    /// Calls, from their admission on.
    pub(crate) const fn requests(limit: u64, window: Duration) -> Self {
        Self::new(Counts::Requests, limit, window)
    }

    /// The same limit, where a call that uses less than it expected gets nothing back: for providers that count a call at its
    /// arrival, for good.
    #[must_use]
    pub const fn without_refunds(self) -> Self {
        Self { is_kept: true, ..self }
    }

    /// The same limit, where each token of output that was used counts as `factor` tokens. (Those that are expected count once:
    /// expect as many as the provider reserves.)
    #[must_use]
    pub const fn with_output_factor(self, factor: u32) -> Self {
        Self { output_factor: factor, ..self }
    }

    /// The most tokens in a window.
    #[must_use]
    pub const fn limit(self) -> u64 {
        self.limit
    }

    /// The length of the window.
    #[must_use]
    pub const fn window(self) -> Duration {
        self.window
    }

    /// Whether only the numbers differ: how much is allowed.
    pub(crate) fn counts_like(self, other: Self) -> bool {
        Self { limit: other.limit, ..self } == other
    }

    pub(crate) fn counts_as_produced(self) -> bool {
        matches!(self.counts, Counts::Output | Counts::Produced)
    }

    pub(crate) fn counts_requests(self) -> bool {
        matches!(self.counts, Counts::Requests)
    }

    /// The same, of at most so much.
    pub(crate) fn at_most(self, most: u64) -> Self {
        Self { limit: self.limit.min(most), ..self }
    }

    /// What its refusals are told as.
    pub(crate) fn name(self) -> Limit {
        match self.counts {
            Counts::Total | Counts::Produced => Limit::Tokens,
            Counts::Input => Limit::InputTokens,
            Counts::Output => Limit::OutputTokens,
            Counts::Requests => Limit::Rate,
        }
    }

    /// What a call reserves.
    #[inline]
    pub(crate) fn reserves(self, expected: Usage) -> u64 {
        match self.counts {
            Counts::Total | Counts::Produced => expected.total(),
            Counts::Input => expected.input,
            Counts::Output => expected.output,
            Counts::Requests => 1,
        }
    }

    /// What a call counts as that had reserved so much.
    pub(crate) fn settles_at(self, used: Usage, reserved: u64) -> u64 {
        let counts = self.reserves(self.weighed(used));
        if self.is_kept { counts.max(reserved) } else { counts }
    }

    /// What a call counts as whose end is not known: each part as expected, or as what was used so far if that counts more.
    pub(crate) fn settles_at_least(self, used: Usage, expected: Usage) -> u64 {
        self.reserves(self.weighed(used).or_more(expected))
    }

    /// Each token of output that was used counts `output_factor` times.
    fn weighed(self, used: Usage) -> Usage {
        let output = used.output.saturating_mul(u64::from(self.output_factor));
        Usage::new(used.input, output)
    }
}
