//! What calls need of the one who grants leases, and what they wait for besides.

use super::Lessee;
use crate::limiter::leased_limit::Demand;
use crate::time::Timestamp;
use core::time::Duration;

impl Lessee {
    /// What calls need of limit `n`. It forgets what was [tried](Demand::tried).
    pub fn demand(&mut self, n: usize) -> Demand {
        let Some(leased) = self.limit(n) else { return Demand::default() };
        let (in_line, tried) = leased.demand().in_line_and_tried();
        let first = self.leasing.first_needs(n, self.now());
        Demand { first: first.min(in_line), in_line, tried }
    }

    /// How many calls were refused for lack of a leased slot, at once or at the end of their timeout, since the last look. It forgets them.
    /// Those do not count that a slot would not have helped: all that the builder has were granted and in use.
    pub fn slots_tried(&mut self) -> usize {
        usize::try_from(self.leasing.take_slots_tried()).unwrap_or(usize::MAX)
    }

    /// How long the first call in line has waited; `None` if none is in line. Who that is, is told as by [`demand`](Self::demand); zero
    /// while nobody is known to be.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        if self.waiters() == 0 {
            return None;
        }
        let now = self.now();
        let since = self.leasing.first_since(now).unwrap_or(now);
        Some(now.saturating_duration_since(since))
    }

    /// How many calls are in line.
    #[must_use]
    pub fn waiters(&self) -> usize {
        usize::try_from(self.core.waiters()).unwrap_or(usize::MAX)
    }

    /// How long the limiter is still paused or stopped, as [`Limiter::paused_for`](crate::Limiter::paused_for); `None` also in a ramp, where
    /// each call waits only for the one before it.
    #[must_use]
    pub fn paused_for(&self) -> Option<Duration> {
        self.core.paused_for().filter(|_| self.core.is_before_a_ramp())
    }

    /// The same as a time of the limiter's clock: it stays the same while the pause does, however late it is looked at. [`Timestamp::MAX`]
    /// if the pause lasts until somebody ends it.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let builder = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone());
    /// let (limiter, lessee) = builder.build_leased()?;
    /// assert_eq!(lessee.paused_until(), None);
    /// limiter.pause(Duration::from_secs(20));
    /// let until = lessee.paused_until();
    /// clock.advance(Duration::from_secs(7));
    /// assert_eq!(lessee.paused_until(), until);
    /// # Ok::<(), ringgate::BuildLeasedError>(())
    /// ```
    #[must_use]
    pub fn paused_until(&self) -> Option<Timestamp> {
        self.core.paused_until().filter(|_| self.core.is_before_a_ramp())
    }

    /// How many calls may go together by what no lease brings: as many as a shared [semaphore](crate::LimiterBuilder::semaphore) has permits
    /// for, and one in a slow start. The most if there is neither. For information: it may be stale when you read it.
    ///
    /// Leases for more calls in line than that would run out unused. With 0 the first in line needs its own all the same: only a call that could
    /// go by its leases lines up at the semaphore.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, Semaphore};
    /// use std::sync::Arc;
    ///
    /// let shared = Arc::new(Semaphore::new(2));
    /// let builder = Limiter::builder().rate(Rate::per_minute(60)).semaphore(Arc::clone(&shared));
    /// let (_, lessee) = builder.build_leased()?;
    /// let held = shared.try_acquire()?;
    /// assert_eq!(lessee.may_go(), 1);
    /// drop(held);
    /// assert_eq!(lessee.may_go(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn may_go(&self) -> usize {
        usize::try_from(self.core.may_go_beside_leases()).unwrap_or(usize::MAX)
    }

    /// How many calls are in flight; 0 if they are not limited: nobody counts them then.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.core.in_flight()).unwrap_or(usize::MAX)
    }
}
