//! A leased limit, and what calls need of it, as plain values.

use crate::error::Limit;
use crate::limiter_core::Leased;
use core::time::Duration;

/// A limit that is kept somewhere else: what the granter must know of it. From [`Lessee::limits`](crate::Lessee::limits).
///
/// ```
/// use ringgate::{Limit, Limiter, Rate};
/// use std::time::Duration;
///
/// let minute = Duration::from_secs(60);
/// let builder = Limiter::builder().tokens(30_000, minute).rate(Rate::per_minute(60));
/// let (_, lessee) = builder.margin(Duration::from_secs(1)).build_leased()?;
/// let [rate, tokens] = lessee.limits() else { panic!("rates first") };
/// assert_eq!((rate.kind(), rate.limit()), (Limit::Rate, 60));
/// assert_eq!((tokens.kind(), tokens.limit()), (Limit::Tokens, 30_000));
/// assert_eq!((tokens.window(), tokens.kept()), (minute, Duration::from_secs(61)));
/// assert!(!tokens.counts_as_produced());
/// # Ok::<(), ringgate::BuildLeasedError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeasedLimit {
    kind: Limit,
    limit: u64,
    window: Duration,
    kept: Duration,
    counts_as_produced: bool,
}

impl LeasedLimit {
    pub(super) fn of(leased: &Leased) -> Self {
        let rule = leased.rule();
        Self {
            kind: rule.name(),
            limit: rule.limit(),
            window: rule.window(),
            kept: leased.kept(),
            counts_as_produced: rule.counts_as_produced(),
        }
    }

    /// What it limits: [`Limit::Rate`] or one of the limits on tokens.
    #[must_use]
    pub const fn kind(&self) -> Limit {
        self.kind
    }

    /// The most in a window, for all processes together.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The provider's window.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// The window with the [margin](crate::LimiterBuilder::margin): for so long a use counts.
    #[must_use]
    pub const fn kept(&self) -> Duration {
        self.kept
    }

    /// Whether a call's amount is held until it is settled, and counts from then on
    /// ([`output_tokens`](crate::LimiterBuilder::output_tokens)).
    #[must_use]
    pub const fn counts_as_produced(&self) -> bool {
        self.counts_as_produced
    }
}

/// What calls need of a leased limit. From [`Lessee::demand`](crate::Lessee::demand). The numbers are of nearly the same moment, and for information: a call may
/// come or go meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub struct Demand {
    /// What the first call in line needs; 0 if none is in line. It may be what another one needs for a moment, or while nobody polls
    /// the first: a call that has not shown itself for longer than the [grace](crate::LimiterBuilder::grace) is passed over.
    pub first: u64,
    /// What all calls in line need together.
    pub in_line: u64,
    /// The most that a call asked for that was refused, at once or at the end of its timeout, for lack of a lease, since the last look.
    pub tried: u64,
}
