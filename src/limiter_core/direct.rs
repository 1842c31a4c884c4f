//! Admission without a place in line, and the end of an admitted call.

use super::not_until::NotUntil;
use super::priority::Priority;
use super::shared::Core;
use super::slot::Slot;
use crate::error::Refused;
use crate::semaphore::{Semaphore, SemaphorePermit};
use crate::time::Timestamp;

impl Core {
    /// Admits a call now, or says why not. An admitted call holds a slot until `release`.
    #[inline]
    pub(crate) fn try_admit(&self, class: Priority) -> Result<(), Refused> {
        if self.gate.is_open() {
            self.try_admit_uncontended()
        } else {
            self.try_admit_beside_a_line(class)
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
    fn try_admit_beside_a_line(&self, class: Priority) -> Result<(), Refused> {
        if self.is_closed() {
            Err(Refused::closed())
        } else if self.passes_the_line() {
            self.try_admit_uncontended()
        } else if !self.line.is_waiting()
            && self.has_room_for_more_than(self.turns_out())
            && let Some(permit) = self.lapsed_for_a_try()
        {
            self.try_admit_with(permit)
        } else {
            Err(self.refusal(self.estimate_for_newcomer(class)))
        }
    }

    /// Admits a call that has nobody before it.
    #[inline]
    pub(super) fn try_admit_uncontended(&self) -> Result<(), Refused> {
        if self.concurrency().is_limited() {
            self.try_admit_with_slot()
        } else {
            self.stamp().map_err(Refused::from)
        }
    }

    fn try_admit_with_slot(&self) -> Result<(), Refused> {
        // The rate first, so that a call it refuses takes no slot away from another.
        let reservation =
            self.peek().map_err(|busy| self.concurrency().escalate_if_permanent(busy.into()))?;
        let mut slot = Slot::take_own(self).ok_or_else(|| self.no_slot())?;
        if let Some(shared) = self.concurrency().shared() {
            let permit = shared.try_acquire().ok().or_else(|| self.lapsed_for_a_try());
            slot.shared = Some(permit.ok_or_else(|| self.no_slot())?);
        }
        self.stamp_in(reservation)?;
        slot.keep();
        Ok(())
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
    fn try_admit_with(&self, permit: SemaphorePermit<'_>) -> Result<(), Refused> {
        let slot = Slot::with_shared(self, permit).ok_or_else(|| self.no_slot())?;
        self.stamp()?;
        slot.keep();
        Ok(())
    }

    #[cold]
    pub(super) fn no_slot(&self) -> Refused {
        self.concurrency().escalate_if_permanent(Refused::until_released())
    }

    /// Ends an admitted call: frees its slot.
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
