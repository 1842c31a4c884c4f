//! How much of each limit is in use.

use super::budgets::Budgets;
use super::shared::Core;
use crate::error::Limit;
use core::time::Duration;

/// A limit, and how much of it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InUse {
    pub(crate) kind: Limit,
    /// What is in force now.
    pub(crate) limit: u64,
    /// What the user has set.
    pub(crate) configured: u64,
    /// Without the margin; `None` of calls in flight.
    pub(crate) window: Option<Duration>,
    pub(crate) used: u64,
    pub(crate) left: u64,
}

impl Core {
    /// All that limit something: the rates and the limits on tokens, each in the user's order, and the slots.
    pub(crate) fn limits_in_use(&self) -> Vec<InUse> {
        let rates = self.rate().map_or(0, |log| {
            // It forgets what others use if it is time, and notices a jump of the clock.
            let _ = self.remaining();
            log.rules()
        });
        let mut all = Vec::with_capacity(rates + self.budgets().map_or(0, Budgets::len) + 1);
        all.extend((0..rates).filter_map(|n| self.rate_in_use(n)));
        all.extend(self.budgets().into_iter().flat_map(Budgets::in_use));
        all.extend(self.slots_in_use());
        all
    }

    fn rate_in_use(&self, n: usize) -> Option<InUse> {
        let log = self.rate()?;
        let (used, left) = log.in_use(n, &|| self.now())?;
        let (limit, window) = log.rule(n)?;
        Some(InUse {
            kind: Limit::Rate,
            limit: limit.into(),
            configured: self.ceilings.configured(n)?,
            window: Some(window),
            used,
            left,
        })
    }

    /// The limiter's own.
    fn slots_in_use(&self) -> Option<InUse> {
        let level = self.gate.level()?;
        Some(InUse {
            kind: Limit::Concurrency,
            limit: level.limit.into(),
            configured: self.gate.most().into(),
            window: None,
            used: level.in_flight.into(),
            left: level.limit.saturating_sub(level.in_flight).into(),
        })
    }

    /// How many permits of the shared semaphore are free, or slots that are leased; `None` if there is neither.
    pub(crate) fn shared_permits(&self) -> Option<u64> {
        let Some(shared) = self.concurrency().shared() else {
            return self.gate.leased_and_free().map(|free| u64::try_from(free).unwrap_or(0));
        };
        Some(u64::try_from(shared.available_permits()).unwrap_or(u64::MAX))
    }
}
