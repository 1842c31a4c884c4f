//! What a limiter does and has done, as a plain value.

use super::{Limiter, Priority};
use crate::error::Limit;
use crate::feedback::StopReason;
use crate::limiter_core::{Counts, InUse};
use core::time::Duration;
use std::sync::Arc;

/// What a limiter does now and has done since it was made, for all its clones together. From [`Limiter::stats`].
///
/// It is a plain value, for dashboards and logs. With the feature `serde` it can be written (not read): a map of its fields, where limits
/// have the names of [`Limit`] in lower case (`input_tokens`), and durations are `secs` and `nanos`.
///
/// # Consistency
///
/// Every count is exact: each call is counted once, and none is lost. But the numbers are read one after another while calls go on.
/// So two of them may differ by the calls that came in between or are just being counted: `in_flight` can be greater than `admitted`
/// for a moment. When nothing goes on they fit together. Counts only grow, and never begin anew.
///
/// ```
/// use ringgate::{Limit, Limiter, Rate};
///
/// let limiter = Limiter::builder().name("gpt").rate(Rate::per_minute(60)).max_concurrent(1).build();
/// let permit = limiter.try_acquire()?;
/// assert!(limiter.try_acquire().is_err());
///
/// let stats = limiter.stats();
/// assert_eq!((stats.admitted, stats.in_flight), (1, Some(1)));
/// assert_eq!(stats.refused.by(Limit::Concurrency), 1);
/// assert_eq!((stats.limits[0].used, stats.limits[0].left), (1, 59));
/// assert_eq!(stats.name.as_deref(), Some("gpt"));
/// # drop(permit);
/// # Ok::<(), ringgate::Refused>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LimiterStats {
    /// What its user calls it ([`LimiterBuilder::name`](crate::LimiterBuilder::name)).
    #[cfg_attr(feature = "serde", serde(serialize_with = "written::name"))]
    pub name: Option<Arc<str>>,
    /// How many calls were ever admitted.
    pub admitted: u64,
    /// How many calls were ever refused: [`Refused`](crate::Refused) as they were told. A call that waits is not refused.
    pub refused: RefusedCalls,
    /// How many calls are in line now, those that have a turn and were not polled since included.
    pub waiting: WaitingCalls,
    /// How many admitted calls have not ended; `None` without [`max_concurrent`](crate::LimiterBuilder::max_concurrent): nobody
    /// counts them then.
    pub in_flight: Option<u64>,
    /// How many calls may be in flight now, as [`Limiter::concurrency_limit`]; `None` if that is not limited.
    pub concurrency_limit: Option<u64>,
    /// How many permits of the shared semaphore are free, for all who use it, or how many leased slots; `None` without one.
    pub shared_permits: Option<u64>,
    /// Each limit: the rates in the order of the builder, then those on tokens in theirs, then `max_concurrent`. What limits nothing is
    /// left out.
    pub limits: Vec<LimitStats>,
    /// What calls in flight have [reserved](crate::LimiterCall::tokens), and what was [settled](crate::LimiterPermit::settle).
    pub tokens: TokenStats,
    /// What is left of a [pause](Limiter::pause) or a [stop](Limiter::stop).
    pub paused_for: Option<Duration>,
    /// Why it is [stopped](Limiter::stop).
    #[cfg_attr(feature = "serde", serde(serialize_with = "written::reason"))]
    pub stopped: Option<StopReason>,
    /// Whether it is [closed](Limiter::close).
    pub closed: bool,
    /// What was [observed](Limiter::observe) so far.
    pub observed: ObservedAnswers,
}

/// How many calls a limiter has refused, by the limit that each was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RefusedCalls {
    /// [`Limit::Rate`].
    pub rate: u64,
    /// [`Limit::Concurrency`].
    pub concurrency: u64,
    /// [`Limit::Tokens`].
    pub tokens: u64,
    /// [`Limit::InputTokens`].
    pub input_tokens: u64,
    /// [`Limit::OutputTokens`].
    pub output_tokens: u64,
    /// [`Limit::Queue`].
    pub queue: u64,
    /// [`Limit::Paused`].
    pub paused: u64,
    /// [`Limit::Stopped`], for any reason.
    pub stopped: u64,
    /// [`Limit::Lease`].
    pub lease: u64,
    /// [`Limit::Closed`].
    pub closed: u64,
}

impl RefusedCalls {
    /// Those that were told this limit. Of a stop the reason makes no difference.
    #[must_use]
    pub fn by(&self, limit: Limit) -> u64 {
        match limit {
            Limit::Rate => self.rate,
            Limit::Concurrency => self.concurrency,
            Limit::Tokens => self.tokens,
            Limit::InputTokens => self.input_tokens,
            Limit::OutputTokens => self.output_tokens,
            Limit::Queue => self.queue,
            Limit::Paused => self.paused,
            Limit::Stopped(_) => self.stopped,
            Limit::Lease => self.lease,
            Limit::Closed => self.closed,
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { rate, concurrency, tokens, input_tokens, output_tokens, .. } = self;
        let limits = [rate, concurrency, tokens, input_tokens, output_tokens];
        let others = [&self.queue, &self.paused, &self.stopped, &self.lease, &self.closed];
        limits.into_iter().chain(others).fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// How many calls are in line, by their [`Priority`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WaitingCalls {
    /// [`Priority::High`].
    pub high: u64,
    /// [`Priority::Normal`].
    pub normal: u64,
    /// [`Priority::Low`].
    pub low: u64,
}

impl WaitingCalls {
    /// Those of a priority.
    #[must_use]
    pub fn of(&self, priority: Priority) -> u64 {
        match priority {
            Priority::High => self.high,
            Priority::Normal => self.normal,
            Priority::Low => self.low,
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.high.saturating_add(self.normal).saturating_add(self.low)
    }
}

/// One limit, and how much of it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LimitStats {
    /// What it limits: one of [`Limit::Rate`], the limits on tokens, and [`Limit::Concurrency`].
    #[cfg_attr(feature = "serde", serde(serialize_with = "written::limit"))]
    pub kind: Limit,
    /// What is in force now. Less than `configured` if the [provider](Limiter::observe) allows less, others use a part of a rate, or
    /// an overload has lowered the calls in flight.
    pub limit: u64,
    /// What you have set.
    pub configured: u64,
    /// The window of time, without the margin; `None` of calls in flight.
    pub window: Option<Duration>,
    /// How much counts now: admissions in the window, tokens in it (those held for output included), or calls in flight. More than
    /// `limit` after that was lowered, or if more tokens were used than expected. Of a [leased](crate::Lessee) limit it is what
    /// [was told](crate::Lessee::tell_used) of all processes.
    pub used: u64,
    /// How much more it has room for now, by itself; of a leased limit what is left of leases.
    pub left: u64,
}

/// The tokens of calls, input and output together. A call counts for 2^32 − 1 at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TokenStats {
    /// What admitted calls expected that are not settled yet; zero if the limiter has no limits on tokens. A permit that is leaked
    /// stays in it.
    pub reserved: u64,
    /// What calls have used that were settled. Those that ended without a settlement count as expected, cancelled ones as nothing.
    pub settled: u64,
}

/// How many answers that asked for something a limiter has [observed](Limiter::observe), by their
/// [`Signal`](crate::Signal). One whose body tells of another signal than its status (a 429 that is a stop) counts for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ObservedAnswers {
    /// [`Signal::CoolDown`](crate::Signal::CoolDown): a 429.
    pub cool_downs: u64,
    /// [`Signal::Ramp`](crate::Signal::Ramp): a 429 because calls grew too fast.
    pub ramps: u64,
    /// [`Signal::Overload`](crate::Signal::Overload): a 503 or 529.
    pub overloads: u64,
    /// [`Signal::Stop`](crate::Signal::Stop).
    pub stops: u64,
}

impl Limiter {
    /// What its user calls it ([`LimiterBuilder::name`](crate::LimiterBuilder::name)); `None` if it has no name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.core.name().map(|name| &**name)
    }

    /// What it does now, and what it has done since it was made: a value for dashboards and logs, with [what it
    /// says](LimiterStats#consistency) of the moment it is from.
    ///
    /// # Cost
    ///
    /// Some readings of the clock, and two searches for each limit: a few microseconds. One allocation, for the list of limits. It
    /// holds up no call, and none holds it up. What is counted for it costs an admission one addition: with
    /// [`max_concurrent`](crate::LimiterBuilder::max_concurrent) to a number beside one that it writes anyway, else to one in a cache line of
    /// its own. So do limits on tokens (one more, and two at the settlement) and a refusal (one).
    ///
    /// # Panics
    ///
    /// Only if it notices that the clock has jumped back or that it is time to forget what others use, and the waker of the
    /// first in line panics.
    #[must_use]
    pub fn stats(&self) -> LimiterStats {
        let core = &self.core;
        // Before what is counted: a call that ends meanwhile has been admitted.
        let limits: Vec<_> = core.limits_in_use().into_iter().map(LimitStats::from).collect();
        let slots = limits.iter().find(|limit| limit.kind == Limit::Concurrency);
        let (in_flight, concurrency_limit) =
            (slots.map(|slots| slots.used), slots.map(|s| s.limit));
        let [high, normal, low] = core.waiters_by_class();
        let mut stats = LimiterStats {
            name: core.name().cloned(),
            admitted: 0,
            refused: RefusedCalls::default(),
            waiting: WaitingCalls { high, normal, low },
            in_flight,
            concurrency_limit,
            shared_permits: core.shared_permits(),
            limits,
            tokens: TokenStats::default(),
            paused_for: core.paused_for(),
            stopped: core.stopped(),
            closed: core.is_closed(),
            observed: ObservedAnswers::default(),
        };
        if let Some(counts) = core.counts() {
            stats.count(&counts);
        }
        core.tell_end_of_pause();
        stats
    }
}

impl LimiterStats {
    fn count(&mut self, counts: &Counts) {
        let Counts { admitted, reserved, settled, .. } = *counts;
        self.admitted = admitted;
        self.tokens = TokenStats { reserved, settled };
        let by = |limit| counts.refused_by(limit);
        self.refused = RefusedCalls {
            rate: by(Limit::Rate),
            concurrency: by(Limit::Concurrency),
            tokens: by(Limit::Tokens),
            input_tokens: by(Limit::InputTokens),
            output_tokens: by(Limit::OutputTokens),
            queue: by(Limit::Queue),
            paused: by(Limit::Paused),
            stopped: by(Limit::Stopped(StopReason::Other)),
            lease: by(Limit::Lease),
            closed: by(Limit::Closed),
        };
        let [cool_downs, ramps, overloads, stops] = counts.signals;
        self.observed = ObservedAnswers { cool_downs, ramps, overloads, stops };
    }
}

impl From<InUse> for LimitStats {
    fn from(InUse { kind, limit, configured, window, used, left }: InUse) -> Self {
        Self { kind, limit, configured, window, used, left }
    }
}

/// How names are written.
#[cfg(feature = "serde")]
#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes references"
)]
mod written {
    use super::{Arc, Limit, StopReason};
    use serde::Serializer;

    pub(super) fn name<S: Serializer>(name: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
        match name {
            Some(name) => to.serialize_some(&**name),
            None => to.serialize_none(),
        }
    }

    pub(super) fn limit<S: Serializer>(limit: &Limit, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(limit.key())
    }

    pub(super) fn reason<S: Serializer>(
        reason: &Option<StopReason>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match reason {
            Some(reason) => to.serialize_some(&reason.to_string()),
            None => to.serialize_none(),
        }
    }
}
