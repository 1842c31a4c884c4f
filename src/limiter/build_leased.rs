//! Building a limiter whose limits are kept somewhere else.

use super::Limiter;
use super::builder::LimiterBuilder;
use super::lessee::Lessee;
use crate::limiter_core::{Budgets, Concurrency, Core};
use crate::semaphore::Semaphore;
use crate::tokens::TokenLimit;
use core::fmt;
use std::error::Error;
use std::sync::Arc;

impl LimiterBuilder {
    /// Builds a limiter whose rates, limits on tokens and slots ([`max_concurrent`](Self::max_concurrent)) are kept somewhere else,
    /// for several processes together. It admits only what its [`Lessee`] is granted: nothing at first.
    ///
    /// For those who call it, it is a [`Limiter`] like any other: one line, priorities, tokens, pauses, all or nothing. These differ:
    ///
    /// * A call that lacks a lease waits in line, or is refused by the limit with the time that the granter [told](Lessee::not_before),
    ///   else with none. A timeout that ends before that time is refused at once.
    /// * [`set_rate`](Limiter::set_rate), [`set_token_limit`](Limiter::set_token_limit) and their like fail with
    ///   [`NoSuchRateError`](crate::NoSuchRateError): the limits are not here. A [`reset`](Limiter::reset) forgets nothing, and a
    ///   [`snapshot`](Limiter::snapshot) is empty.
    /// * [`remaining`](Limiter::remaining) and the other numbers tell what is left of leases.
    /// * [`observe`](Limiter::observe) pauses, stops and lowers the calls in flight as ever; what a provider says is left is not
    ///   taken over. A slow start goes by the whole rate.
    /// * What a call does not use is not for others here: it comes [back](Lessee::take_unused) to the granter. A
    ///   [cancelled](crate::LimiterPermit::cancel) call's request does, too.
    ///
    /// Once the lessee is dropped, calls go on while there are leases; then they wait.
    ///
    /// A process uses at most 32 767 slots at a time, however many are granted. Limits above 2^40 − 1 count as that. The
    /// [margin](Self::margin) is told to the granter ([`kept`](crate::LeasedLimit::kept)).
    ///
    /// # Cost
    ///
    /// A call takes one compare-and-swap and some ten loads for each limit, twice the loads with several limits, and one reading of the
    /// clock, more in a pause. A slot costs as much as one that is not leased. All threads write one word for each limit, also for a rate. With
    /// more than three limits each call allocates. 4.5 KiB for each limit.
    ///
    /// # Errors
    ///
    /// [`BuildLeasedError`] for what cannot be leased.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let builder = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone());
    /// let (limiter, mut lessee) = builder.build_leased()?;
    /// assert!(limiter.try_acquire().is_err());
    ///
    /// // The keeper of the rate lets us have two calls within a second.
    /// let second = Duration::from_secs(1);
    /// lessee.grant(0, 2, lessee.now().saturating_add(second));
    /// assert!(limiter.try_acquire().is_ok());
    ///
    /// clock.advance(second);
    /// assert!(limiter.try_acquire().is_err());
    /// assert_eq!(lessee.take_unused(0, 16), [(1, 1)]); // of lease 1: one call
    /// # Ok::<(), ringgate::BuildLeasedError>(())
    /// ```
    pub fn build_leased(self) -> Result<(Limiter, Lessee), BuildLeasedError> {
        let slots = self.max_concurrent.filter(|slots| *slots < Semaphore::MAX_PERMITS);
        if slots.is_some() && self.semaphore.is_some() {
            return Err(BuildLeasedError::SharedSlots);
        }
        if self.past.is_some() {
            return Err(BuildLeasedError::Snapshot);
        }
        if self.rates.iter().any(|(limit, window)| *limit == 0 && window.is_zero()) {
            return Err(BuildLeasedError::Nothing);
        }
        let concurrency = Concurrency::new(slots, self.semaphore).leased();
        let time = self.time.unwrap_or_default();
        let rates = self
            .rates
            .iter()
            .map(|(limit, window)| TokenLimit::requests(u64::from(*limit), *window));
        let limits = rates.chain(self.token_limits.iter().copied());
        let (budgets, granters) = Budgets::leased(limits, self.margin, &time);
        let core = Core::new(None, concurrency, time)
            .with_budgets(Some(budgets))
            .with_tally(self.name)
            .with_max_waiters(self.max_waiters)
            .with_grace(self.grace);
        let core = Arc::new(core);
        let limiter = Limiter { core: Arc::clone(&core) };
        let leasing = core.budgets().and_then(Budgets::leasing).map(Arc::clone);
        let lessee = leasing.map(|leasing| Lessee::new(core, leasing, granters, slots));
        lessee.map(|lessee| (limiter, lessee)).ok_or(BuildLeasedError::Nothing)
    }
}

/// [`LimiterBuilder::build_leased`] failed: something was asked for that leases cannot do.
///
/// ```
/// use ringgate::{BuildLeasedError, Limiter, Semaphore};
/// use std::sync::Arc;
///
/// let shared = Arc::new(Semaphore::new(4));
/// let builder = Limiter::builder().max_concurrent(4).semaphore(shared);
/// assert_eq!(builder.build_leased().unwrap_err(), BuildLeasedError::SharedSlots);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BuildLeasedError {
    /// [`semaphore`](LimiterBuilder::semaphore) together with [`max_concurrent`](LimiterBuilder::max_concurrent): leased slots
    /// are the limiter's own.
    SharedSlots,
    /// A snapshot to [restore](LimiterBuilder::restore): what was counted is known where the limits are kept.
    Snapshot,
    /// A rate of zero in a window of zero: it could never admit anything.
    Nothing,
}

impl fmt::Display for BuildLeasedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SharedSlots => "a shared semaphore beside leased slots",
            Self::Snapshot => "a snapshot cannot be restored into leased limits",
            Self::Nothing => "a rate of zero in a window of zero cannot be leased",
        })
    }
}

impl Error for BuildLeasedError {}
