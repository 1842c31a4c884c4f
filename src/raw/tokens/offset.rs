//! How far a wheel's time is ahead of the clock's.
//!
//! Time goes on where the clock has jumped back. How far the clock is behind is found out once the old wheel is closed, by the
//! first reading of the clock that is made for the new one. So that reading is later than all that has been counted, however
//! long a thread sleeps between noticing the jump and closing the old wheel; and if the clock has been put right meanwhile, the
//! offset stays what it was.
//!
//! A reading belongs to an offset that was fixed before it was made. So no reading from before the offset is used with it.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;

/// A time, or where to read it.
///
/// A clock is read after the wheel has been chosen and its offset is known: a reading from before a jump back never reaches a
/// wheel from after it.
pub(crate) trait Now: Copy {
    fn read(&self) -> Timestamp;
}

impl Now for Timestamp {
    #[inline]
    fn read(&self) -> Self {
        *self
    }
}

/// Not fixed yet.
const OPEN: u64 = u64::MAX;

/// A wheel's offset, in ns. Once it is fixed it does not change.
pub(super) struct Offset {
    fixed: AtomicU64,
    /// What it is unless the clock has jumped back.
    least: u64,
    /// A clock that is behind by no more has not jumped, but stepped back.
    tolerance: u64,
}

impl Offset {
    /// Fixed from the start.
    pub(super) fn fixed(offset: u64) -> Self {
        Self { fixed: AtomicU64::new(offset), least: offset, tolerance: 0 }
    }

    /// To be fixed by a reading of the clock, or taken over.
    pub(super) fn open(least: u64, tolerance: u64) -> Self {
        Self { fixed: AtomicU64::new(OPEN), least, tolerance }
    }

    /// For the next wheel, which takes this one over, or will be fixed by the same rule.
    pub(super) fn inherited(&self) -> Self {
        Self::open(self.least, self.tolerance)
    }

    /// `None` until it is fixed.
    #[inline]
    pub(super) fn get(&self) -> Option<u64> {
        // ORDERING: Acquire pairs with the Release in `seed`: the clock is read after that.
        let offset = self.fixed.load(Ordering::Acquire);
        (offset != OPEN).then_some(offset)
    }

    /// What is known of it.
    pub(super) fn so_far(&self) -> u64 {
        self.get().unwrap_or(self.least)
    }

    /// Fixes it; false if another thread has.
    pub(super) fn seed(&self, offset: u64) -> bool {
        let offset = offset.min(OPEN - 1);
        // ORDERING: Release: the reading of the clock comes before; it pairs with the Acquire in `get`. Relaxed on failure:
        // the caller loads it.
        self.fixed.compare_exchange(OPEN, offset, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Fixes it by a reading of the clock, where the wheel's time has come to `latest`. False if another thread has.
    #[cold]
    pub(super) fn fix(&self, clock: u64, latest: u64) -> bool {
        let behind = latest.saturating_sub(clock.saturating_add(self.least));
        // MUTANTS: fix of offsets
        self.seed(if behind > self.tolerance { latest - clock } else { self.least })
    }
}
