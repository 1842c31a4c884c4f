//! A slot in hand.

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
