//! A slow start after a pause: calls go one after another, closer and closer.
//!
//! ```text
//! calls gone by t:  t² / (2 · length · gap)          the next one after t:  √(t² + 2 · length · gap)
//! ```
//!
//! `gap` is what lies between two calls at full speed. So speed grows evenly from nothing, and at the end of the ramp it is the full
//! one. Each call that goes moves the end of the pause to the time of the next one. Only one does: it exchanges the word that it
//! has seen. If it does not go after all, the next one waits for that gap in vain, and no longer.

use super::pause::{
    End, KIND_BITS, Kind, LONGEST, NONE, Pause, Paused, Watched, between, is_endless,
};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;

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
    fn next_gap(&self, own: u64, late: u64) -> Option<u64> {
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
        // ORDERING: Relaxed: of several that set it the latest is wanted, and any will do.
        let start = self.start.load(Ordering::Relaxed);
        if between(start << KIND_BITS, word) > 0 {
            // ORDERING: Relaxed, as above.
            self.start.store(word >> KIND_BITS, Ordering::Relaxed);
        }
    }

    /// Sets what the next ramp is like.
    fn set(&self, start: u64, length: u64, gap: u64) {
        let length = length.min(LONGEST);
        // ORDERING: Relaxed: the Release that publishes the word publishes them.
        self.start.store(start, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        self.length.store(length, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        self.gap.store(gap.min(length), Ordering::Relaxed);
    }
}

impl Pause {
    /// Pauses so long (in ns), and lets calls go one after another when that is over.
    pub(super) fn extend_with_ramp(
        &self,
        (pause, length, gap): (u64, u64, u64),
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) {
        // Without a pause it begins with the shortest one.
        let pause = pause.max(1);
        let start = self.read(clock).own.wrapping_add(pause.min(LONGEST));
        self.ramp.set(start, length, gap);
        self.extend(End::After(pause), Kind::Ramp, clock);
    }

    /// Ends a pause, and lets calls go one after another from now on.
    pub(super) fn end_with_ramp(
        &self,
        (length, gap): (u64, u64),
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) {
        let reading = self.read(clock);
        self.ramp.set(reading.own, length, gap);
        // ORDERING: Release publishes the ramp to the Acquire in `pass` and `look`. Not a store, as in `end`.
        self.until.swap(reading.after(0) | Kind::Ramp.bits(), Ordering::Release);
    }

    /// [`look`](Self::look) of a call that goes if there is none: in a ramp the next one has to wait.
    pub(super) fn pass(
        &self,
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) -> Option<Paused> {
        loop {
            // ORDERING: Acquire pairs with the Release in `extend` and `end_with_ramp`: the ramp is seen, too.
            let word = self.until.load(Ordering::Acquire);
            if Kind::of(word) != Kind::Ramp || is_endless(word) {
                return self.look(clock);
            }
            let reading = self.read(clock);
            let paused = reading.in_force(word);
            if paused.is_some() {
                return paused;
            }
            let gap = self.ramp.next_gap(reading.own, reading.since(word));
            let next = gap.map_or(NONE, |gap| reading.after(gap) | Kind::Ramp.bits());
            // ORDERING: Release, as in `end_with_ramp`: whoever sees this word sees the ramp.
            let claimed =
                self.until.compare_exchange(word, next, Ordering::Release, Ordering::Relaxed);
            // MUTANTS: pass
            if claimed.is_ok() {
                return None;
            }
        }
    }
}
