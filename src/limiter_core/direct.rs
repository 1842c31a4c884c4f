//! Admission without a place in line, and the end of an admitted call.

use super::ask::Ask;
use super::leasing::Leasing;
use super::not_until::NotUntil;
use super::reserved::{Kept, LeaseNumber, Reserved, Stamp};
use super::reserving::Tokens;
use super::shared::Core;
use super::slot::Slot;
use crate::error::Refused;
use crate::semaphore::{Semaphore, SemaphorePermit};
use crate::time::Timestamp;

impl Core {
    /// Admits a call now, or says why not. An admitted call holds a slot until `release`.
    #[inline]
    pub(crate) fn try_admit<K: Kept>(&self, ask: &Ask) -> Result<K, Refused> {
        if self.gate.is_open() {
            self.try_admit_uncontended(ask)
        } else {
            self.try_admit_beside_a_line(ask)
        }
    }

    /// Admits by the rate alone, at a time that the caller gives.
    pub(crate) fn try_admit_at(&self, now: Timestamp) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        match self.rate().map(|log| log.try_acquire(now.as_nanos())) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(busy)) => Err(NotUntil::from(busy).into()),
        }
    }

    /// Others may be in line. If there is room for more than have a turn, the call goes.
    #[cold]
    fn try_admit_beside_a_line<K: Kept>(&self, ask: &Ask) -> Result<K, Refused> {
        if self.is_closed() {
            Err(Refused::closed())
        } else if self.passes_the_line(ask) {
            self.try_admit_uncontended(ask)
        } else if !self.line.is_waiting()
            && self.has_room_for_more_than(self.turns_out(), Some(ask.tokens))
            // A rate of zero has room for all, so that all are refused. They take no permit.
            && self.peek_for(ask).is_ok()
            && let Some(permit) = self.lapsed_for_a_try()
        {
            self.try_admit_with(permit, ask).map(K::of)
        } else {
            Err(self.refusal(self.estimate_for_newcomer(ask)))
        }
    }

    /// Admits a call that has nobody before it.
    #[inline]
    pub(super) fn try_admit_uncontended<K: Kept>(&self, ask: &Ask) -> Result<K, Refused> {
        // MUTANTS: try_admit_uncontended
        if self.pause.is_set() {
            return self.try_admit_past_a_pause(ask).map(K::of);
        }
        if let Some(budgets) = self.budgets() {
            return match budgets.leasing() {
                Some(leasing) => self.try_admit_by_leases(leasing, ask),
                None => self.try_admit_with_tokens(ask).map(K::of),
            };
        }
        let stamp = if self.concurrency().is_limited() {
            self.try_admit_with_slot()?
        } else {
            self.stamp_rate()?
        };
        Ok(K::stamped(stamp))
    }

    /// Admits a call that has nobody before it, if the pause is over. In a ramp it is the one that goes, so that comes last.
    #[cold]
    fn try_admit_past_a_pause(&self, ask: &Ask) -> Result<Reserved, Refused> {
        self.peek_for(ask).map_err(|busy| self.refused(busy))?;
        // Before the call holds anything: a subscriber may panic.
        self.tell_end_of_pause();
        self.try_admit_in(self.take_slot()?, ask)
    }

    /// The rate first, without a claim: it cannot be given back. Tokens and slot are given back if the stamp fails.
    fn try_admit_with_tokens(&self, ask: &Ask) -> Result<Reserved, Refused> {
        let by_rate = self.peek_rate();
        let shared = self.concurrency().shared();
        let mut tokens = Tokens::default();
        let (reservation, is_early) = match by_rate {
            // A shared permit is had or not, however many there are: tokens are claimed once it is had.
            Ok(reservation) if shared.is_none() && self.gate.free() != Some(0) => {
                self.reserve(ask, &mut tokens).map_err(|busy| self.refused(busy))?;
                (reservation, true)
            }
            // Whoever is refused here learns the longest wait.
            _ => (self.peek_for(ask).map_err(|busy| self.refused(busy))?, false),
        };
        let slot = self.take_slot()?;
        if !is_early {
            self.reserve(ask, &mut tokens).map_err(|busy| self.refused(busy))?;
        }
        let stamp = self.stamp_in(reservation)?;
        slot.keep();
        Ok(tokens.keep().with_stamp(stamp))
    }

    /// Admits a call where one rate is leased, if nothing is in its way. Without a refusal, which is large to hand over.
    #[inline]
    pub(super) fn try_one_lease(&self) -> Option<LeaseNumber> {
        if !self.gate.is_open() || self.pause.is_set() {
            return None;
        }
        let leasing = self.leasing().filter(|_| self.concurrency().shared().is_none())?;
        let looked = leasing.look_at_one()?;
        let slot = Slot::take_own(self)?;
        if self.is_held_back(leasing) {
            return None;
        }
        let number = leasing.take_one(&looked).ok()?;
        slot.keep();
        Some(number)
    }

    /// Whether it was paused, or all calls were refused, before the slot became free that the caller has.
    #[inline]
    fn is_held_back(&self, leasing: &Leasing) -> bool {
        self.pause.is_set() || leasing.refuses()
    }

    /// The leases first, without a claim: what is taken of them does not come back at once.
    #[inline]
    fn try_admit_by_leases<K: Kept>(&self, leasing: &Leasing, ask: &Ask) -> Result<K, Refused> {
        let looked = leasing.look(ask.tokens).map_err(|busy| self.refused(busy))?;
        let slot = self.take_slot()?;
        if self.is_held_back(leasing) {
            return self.try_admit_in(slot, ask).map(K::of);
        }
        let mut reserved = Reserved::default();
        let taken = leasing.reserve_in(&looked, ask.tokens, &mut reserved);
        taken.map_err(|busy| self.refused(busy))?;
        slot.keep();
        Ok(K::of(reserved))
    }

    fn try_admit_with_slot(&self) -> Result<Stamp, Refused> {
        if self.rate().is_none() {
            self.take_slot()?.keep();
            return Ok(Stamp::default());
        }
        // The rate first, so that a call it refuses takes no slot away from another.
        // Not by `map_err`, which copies what it does not change.
        let reservation = match self.peek_rate() {
            Ok(reservation) => reservation,
            Err(busy) => return Err(self.refused(busy)),
        };
        let slot = self.take_slot()?;
        let stamp = self.stamp_in(reservation)?;
        slot.keep();
        Ok(stamp)
    }

    #[expect(clippy::inline_always, reason = "a call of its own is a tenth of an admission")]
    #[inline(always)]
    fn take_slot(&self) -> Result<Slot<'_>, Refused> {
        let mut slot = Slot::take_own(self).ok_or_else(|| self.no_slot())?;
        if let Some(shared) = self.concurrency().shared() {
            let permit = shared.try_acquire().ok().or_else(|| self.lapsed_for_a_try());
            slot.shared = Some(permit.ok_or_else(|| self.no_slot())?);
        }
        Ok(slot)
    }

    /// A permit that a silent call was granted, unless others wait for it.
    #[cold]
    fn lapsed_for_a_try(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.claim_lapsed()?;
        if self.concurrency().shared().is_some_and(Semaphore::has_waiters) {
            self.give_on(permit);
            return None;
        }
        Some(permit)
    }

    /// Admits a call that has a shared permit, by the other limits.
    fn try_admit_with(&self, permit: SemaphorePermit<'_>, ask: &Ask) -> Result<Reserved, Refused> {
        let slot = Slot::with_shared(self, permit).ok_or_else(|| self.no_slot())?;
        self.try_admit_in(slot, ask)
    }

    /// Admits a call that has its slot, by the other limits.
    fn try_admit_in(&self, slot: Slot<'_>, ask: &Ask) -> Result<Reserved, Refused> {
        let mut tokens = Tokens::default();
        self.reserve(ask, &mut tokens)?;
        let stamp = self.stamp()?;
        slot.keep();
        Ok(tokens.keep().with_stamp(stamp))
    }

    /// What the call is told.
    #[cold]
    pub(super) fn refused(&self, busy: NotUntil) -> Refused {
        self.concurrency().escalate_if_permanent(busy.into())
    }

    #[cold]
    pub(super) fn no_slot(&self) -> Refused {
        self.concurrency().escalate_if_permanent(Refused::until_released())
    }

    /// Frees an admitted call's slot.
    #[inline]
    pub(crate) fn release(&self) {
        /// Frees the shared slot even if a waker panics.
        struct ReleaseOnDrop<'a>(Option<&'a Semaphore>);
        impl Drop for ReleaseOnDrop<'_> {
            #[inline]
            fn drop(&mut self) {
                if let Some(shared) = self.0 {
                    shared.release(1);
                }
            }
        }
        let _shared = ReleaseOnDrop(self.concurrency().shared());
        self.release_own();
    }
}
