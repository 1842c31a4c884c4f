//! A slot in hand.

use super::hand_out::Reason;
use super::shared::Core;
use crate::semaphore::{Semaphore, SemaphorePermit};

impl Core {
    /// Whether a call, of any limiter, was granted a permit of the shared semaphore and has not claimed it so far.
    pub(super) fn has_unclaimed(&self) -> bool {
        self.concurrency().shared().is_some_and(Semaphore::has_unclaimed)
    }

    /// A permit of the shared semaphore that a silent call was granted.
    #[cold]
    pub(super) fn claim_lapsed(&self) -> Option<SemaphorePermit<'_>> {
        let shared = self.concurrency().shared().filter(|shared| shared.has_unclaimed())?;
        self.last_look.claim(shared, self.ticks())
    }

    /// Gives the permit of a silent call to the first in that line.
    pub(super) fn give_on(&self, permit: SemaphorePermit<'_>) {
        drop(permit);
        if let Some(shared) = self.concurrency().shared() {
            self.last_look.look(shared, self.ticks());
        }
    }
}

impl Core {
    /// How many calls may go together by what is not leased: permits of the shared semaphore, and one at a time in a ramp.
    pub(crate) fn may_go_beside_leases(&self) -> u64 {
        let permits = self.concurrency().shared().map_or(usize::MAX, |shared| {
            // One at least has been granted and not been claimed, by a call of any limiter.
            shared.available_permits().max(usize::from(shared.has_unclaimed()))
        });
        let permits = u64::try_from(permits).unwrap_or(u64::MAX);
        // A look clears one that is over.
        let is_ramp = || self.pause.is_ramp();
        let in_ramp = is_ramp() && (self.paused_until().is_some() || is_ramp());
        if in_ramp { permits.min(1) } else { permits }
    }

    /// So many slots are granted from now on. Calls in line get those that are free.
    pub(crate) fn lease_slots(&self, slots: u32) {
        // Whoever joins the line after the change sees the slots; of one who has joined before, `change` tells.
        if self.gate.lease(slots) && self.gate.change() {
            self.hand_out(Reason::Room);
        }
    }

    /// How many slots are in use beyond those that are granted.
    pub(crate) fn slots_owed(&self) -> u64 {
        let free = self.gate.leased_and_free().unwrap_or(0);
        u64::try_from(free.saturating_neg()).unwrap_or(0)
    }
}

/// What an admitted call holds until it ends.
pub(super) struct Slot<'a> {
    own: Option<&'a Core>,
    pub(super) shared: Option<SemaphorePermit<'a>>,
}

impl<'a> Slot<'a> {
    /// One of the limiter's own, if one is free.
    #[inline]
    pub(super) fn take_own(core: &'a Core) -> Option<Self> {
        core.gate.try_take().then(|| Self { own: Some(core), shared: None })
    }

    /// The shared permit and one of the limiter's own, if one is free. Otherwise the permit is freed.
    pub(super) fn with_shared(core: &'a Core, permit: SemaphorePermit<'a>) -> Option<Self> {
        let mut slot = Self::take_own(core)?;
        slot.shared = Some(permit);
        Some(slot)
    }

    /// The call holds the slot without a guard, until [`Core::release`].
    #[inline]
    pub(super) fn keep(mut self) {
        self.own = None;
        if let Some(permit) = self.shared.take() {
            permit.keep();
        }
    }
}

impl Drop for Slot<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(core) = self.own.take() {
            core.release_own();
        }
    }
}
