//! Permits of the shared semaphore that silent calls were granted.
//!
//! ```text
//! [ time of the last look, in ticks : 32 | epoch that it saw : 8 | whether there was one : 1 ]
//! ```

use super::grace::Ticks;
use crate::semaphore::{Epoch, Semaphore, SemaphorePermit};
use crate::sync::atomic::{AtomicU64, Ordering};

/// When a call of this limiter last looked for such a permit.
#[derive(Debug, Default)]
pub(super) struct LastLook(AtomicU64);

impl LastLook {
    fn get(&self) -> Option<(u32, Epoch)> {
        // ORDERING: Relaxed: a hint. By a stale one a call looks too often, or a permit lapses later.
        let word = self.0.load(Ordering::Relaxed);
        (word & 1 == 1)
            .then(|| ((word >> 32) as u32, Epoch::from_number((word >> 1 & 0xFF) as u32)))
    }

    fn set(&self, at: u32, epoch: Option<Epoch>) {
        let epoch = epoch.map_or(0, |epoch| u64::from(epoch.number()) << 1 | 1);
        // ORDERING: Relaxed, as in `get`.
        self.0.store(u64::from(at) << 32 | epoch, Ordering::Relaxed);
    }

    /// A permit that a call, of any limiter, was granted and has not claimed from one look to the next.
    #[cold]
    pub(super) fn claim<'a>(
        &self,
        shared: &'a Semaphore,
        now: Ticks,
    ) -> Option<SemaphorePermit<'a>> {
        let now = in_short(now);
        let last = self.get();
        let since = last.map(|(at, _)| now.wrapping_sub(at).cast_signed());
        let mut seen = match since {
            Some(0..Ticks::BETWEEN_LOOKS) => return None,
            // The clock has stepped back: this is the first look.
            Some(..0) => None,
            _ => last.map(|(_, epoch)| epoch),
        };
        let permit = shared.claim_lapsed(&mut seen);
        // Whoever has claimed one leaves the look as it was: the next one that is as old goes at once.
        if permit.is_none() {
            self.set(now, seen);
        }
        permit
    }

    /// The permit that was claimed has gone to the first in that line, who may be silent, too: this is a look.
    pub(super) fn look(&self, shared: &Semaphore, now: Ticks) {
        let mut seen = None;
        drop(shared.claim_lapsed(&mut seen));
        // Others that are as old go at once.
        if seen.is_none() || seen != self.get().map(|(_, epoch)| epoch) {
            self.set(in_short(now), seen);
        }
    }
}

/// Times are compared modulo 2^32.
fn in_short(time: Ticks) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "what is cut off is not compared")]
    let short = time.count() as u32;
    short
}
