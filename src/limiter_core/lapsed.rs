//! Permits of the shared semaphore that silent calls were granted.
//!
//! ```text
//! [ period of the last look : 32 | epoch that it saw : 8 | whether there was one : 1 ]
//! ```

use crate::semaphore::{Epoch, Semaphore, SemaphorePermit};
use crate::sync::atomic::{AtomicU64, Ordering};

/// When a call of this limiter last looked for such a permit.
#[derive(Debug, Default)]
pub(super) struct LastLook(AtomicU64);

impl LastLook {
    /// From one look to the next at least one period passes, as for a turn that counts no more.
    const PERIODS: u32 = 2;

    fn get(&self) -> Option<(u32, Epoch)> {
        // ORDERING: Relaxed: a hint. By a stale one a call looks too often, or a permit lapses later.
        let word = self.0.load(Ordering::Relaxed);
        (word & 1 == 1)
            .then(|| ((word >> 32) as u32, Epoch::from_number((word >> 1 & 0xFF) as u32)))
    }

    fn set(&self, period: u32, epoch: Epoch) {
        let word = u64::from(period) << 32 | u64::from(epoch.number()) << 1 | 1;
        // ORDERING: Relaxed, as in `get`.
        self.0.store(word, Ordering::Relaxed);
    }

    /// A permit that a call, of any limiter, was granted and has not claimed from one look to the next.
    #[cold]
    pub(super) fn claim<'a>(
        &self,
        shared: &'a Semaphore,
        period: u32,
    ) -> Option<SemaphorePermit<'a>> {
        let last = self.get();
        if last.is_some_and(|(looked_in, _)| period.wrapping_sub(looked_in) < Self::PERIODS) {
            return None;
        }
        let mut seen = last.map(|(_, epoch)| epoch);
        let permit = shared.claim_lapsed(&mut seen);
        // Whoever has claimed one leaves the look as it was: the next one that is as old goes at once.
        if permit.is_none()
            && let Some(epoch) = seen
        {
            self.set(period, epoch);
        }
        permit
    }
}
