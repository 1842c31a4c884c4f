//! A slow start after a pause: calls go one after another, closer and closer.
//!
//! ```text
//! calls gone by t:  t² / (2 · length · gap)          the next one after t:  √(t² + 2 · length · gap)
//! ```
//!
//! `gap` is what lies between two calls at full speed. So speed grows evenly from nothing, and at the end of the ramp it is the full
//! one. Each call that goes moves the end of the pause to the time of the next one. Only one does: it exchanges the word that it
//! has seen. If it does not go after all, the next one waits for that gap in vain, and no longer.

use super::pause_word::{KIND_BITS, LONGEST, between};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The parts may come from two ramps that begin at once. Whatever they say together, no gap is longer than a ramp.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    /// By the pause's own time, in ns.
    start: AtomicU64,
    length: AtomicU64,
    gap: AtomicU64,
}

impl Ramp {
    /// What has passed of it, unless it is over.
    fn passed(&self, own: u64) -> Option<(u64, u64)> {
        // ORDERING: Relaxed: whoever has seen the word has acquired them; a newer one's do no harm.
        let (start, length) =
            (self.start.load(Ordering::Relaxed), self.length.load(Ordering::Relaxed));
        let passed = u64::try_from(between(start << KIND_BITS, own << KIND_BITS)).unwrap_or(0);
        (passed < length).then_some((passed, length))
    }

    /// Whether it is not over.
    pub(super) fn lasts(&self, own: u64) -> bool {
        self.passed(own).is_some()
    }

    /// Whether the first call may have gone.
    pub(super) fn has_begun(&self, own: u64) -> bool {
        // ORDERING: Relaxed, as in `passed`.
        between(self.start.load(Ordering::Relaxed) << KIND_BITS, own << KIND_BITS) >= 0
    }

    /// How long the next call waits after one that goes now, `late` after it could; `None` once the ramp is over.
    pub(super) fn next_gap(&self, own: u64, late: u64) -> Option<u64> {
        let (passed, length) = self.passed(own)?;
        // ORDERING: Relaxed, as in `passed`.
        let square = 2 * u128::from(length) * u128::from(self.gap.load(Ordering::Relaxed));
        let next = |passed: u64| {
            let next = (u128::from(passed).pow(2) + square).isqrt();
            u64::try_from(next).unwrap_or(u64::MAX)
        };
        // A late one does not make those after it late, unless it is later than a gap: then it is the first one again.
        let gap = next(passed).saturating_sub(passed);
        let from = passed.saturating_sub(late.min(gap));
        Some(next(from).saturating_sub(passed).min(length))
    }

    /// It does not begin before the pause of a word is over.
    pub(super) fn begin_after(&self, word: u64) {
        // ORDERING: Relaxed: of several that set it the latest is kept.
        let mut start = self.start.load(Ordering::Relaxed);
        while between(start << KIND_BITS, word) > 0 {
            // ORDERING: Relaxed, as above.
            match self.start.compare_exchange_weak(
                start,
                word >> KIND_BITS,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => start = now,
            }
        }
    }

    /// Sets what the next ramp is like.
    pub(super) fn set(&self, start: u64, length: u64, gap: u64) {
        let length = length.min(LONGEST);
        // ORDERING: Relaxed: the Release that publishes the word publishes them.
        self.start.store(start, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        self.length.store(length, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        self.gap.store(gap.min(length), Ordering::Relaxed);
    }
}
