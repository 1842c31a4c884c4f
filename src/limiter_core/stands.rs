//! How many calls stand for a shared permit and have shown lately that they are polled.
//!
//! ```text
//! [ stretch : 16 | last seen in the one before : 24 | last seen in this one : 24 ]
//! ```
//!
//! A stretch is two [periods](super::grace::Grace::period). A call that stands shows itself once in each, so a silent one
//! counts no more after the stretch that follows. Those that count keep room from others. The count is a guess: if it is
//! too low, more calls stand than can go, and wait in front of the others when they are granted a permit.

use crate::sync::atomic::{AtomicU64, Ordering};

const FIELD: u64 = (1 << 24) - 1;

#[derive(Debug, Default)]
pub(super) struct Stands(AtomicU64);

/// Names a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch(u16);

impl Stretch {
    fn of(period: u32) -> Self {
        Self((period >> 1 & 0xFFFF) as u16)
    }
}

/// A value of the word.
#[derive(Clone, Copy)]
struct Counts {
    stretch: Stretch,
    before: u64,
    now: u64,
}

impl Counts {
    fn of(word: u64) -> Self {
        let stretch = Stretch((word >> 48) as u16);
        Self { stretch, before: word >> 24 & FIELD, now: word & FIELD }
    }

    fn word(self) -> u64 {
        u64::from(self.stretch.0) << 48 | self.before.min(FIELD) << 24 | self.now.min(FIELD)
    }

    /// The same calls, as they count in `stretch`.
    fn at(self, stretch: Stretch) -> Self {
        match stretch.0.wrapping_sub(self.stretch.0) {
            // A thread that has read the clock earlier.
            0 | u16::MAX => self,
            1 => Self { stretch, before: self.now, now: 0 },
            _ => Self { stretch, before: 0, now: 0 },
        }
    }

    /// Without a call that was last seen in `stretch`.
    fn without_one_of(self, stretch: Stretch) -> Self {
        match self.stretch.0.wrapping_sub(stretch.0) {
            0 => Self { now: self.now.saturating_sub(1), ..self },
            1 => Self { before: self.before.saturating_sub(1), ..self },
            _ => self,
        }
    }
}

impl Stands {
    /// Counts a call until the answer is dropped.
    pub(super) fn count(&self, period: u32) -> Standing<'_> {
        let last_seen = self.show(None, period);
        Standing { stands: self, last_seen }
    }

    /// How many count in this period.
    pub(super) fn get(&self, period: u32) -> u64 {
        // ORDERING: Relaxed: a guess, as all of this.
        let counts = Counts::of(self.0.load(Ordering::Relaxed)).at(Stretch::of(period));
        counts.before + counts.now
    }

    /// None counts until it shows itself again.
    pub(super) fn lapse(&self, period: u32) {
        self.change(|_| Counts { stretch: Stretch::of(period), before: 0, now: 0 });
    }

    fn show(&self, last_seen: Option<Stretch>, period: u32) -> Stretch {
        let shown = self.change(|counts| {
            let counts = counts.at(Stretch::of(period));
            let others = last_seen.map_or(counts, |seen| counts.without_one_of(seen));
            Counts { now: others.now + 1, ..others }
        });
        shown.stretch
    }

    fn change(&self, change: impl Fn(Counts) -> Counts) -> Counts {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let to = change(Counts::of(word));
            // ORDERING: Relaxed: it guards nothing. With a stale count room is unused for longer, or a call is woken in
            // vain.
            let changed =
                self.0.compare_exchange_weak(word, to.word(), Ordering::Relaxed, Ordering::Relaxed);
            match changed {
                Ok(_) => return to,
                Err(now) => word = now,
            }
        }
    }
}

/// One call that stands.
pub(super) struct Standing<'a> {
    stands: &'a Stands,
    last_seen: Stretch,
}

impl Standing<'_> {
    /// It is polled.
    pub(super) fn show(&mut self, period: u32) {
        if self.last_seen != Stretch::of(period) {
            self.last_seen = self.stands.show(Some(self.last_seen), period);
        }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.stands.change(|counts| counts.without_one_of(self.last_seen));
    }
}

#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle))))]
mod tests {
    use super::Stands;

    #[test]
    fn a_call_that_shows_itself_counts_and_a_silent_one_does_not() {
        let stands = Stands::default();
        let (mut busy, silent) = (stands.count(6), stands.count(7));
        assert_eq!(stands.get(8), 2);
        busy.show(8);
        assert_eq!((stands.get(9), stands.get(10), stands.get(12)), (2, 1, 0));
        busy.show(11);
        drop(silent);
        assert_eq!((stands.get(11), stands.get(12)), (1, 1));
        stands.lapse(12);
        assert_eq!(stands.get(12), 0);
        drop(busy);
        assert_eq!(stands.get(12), 0);
    }

    #[test]
    fn the_stretch_wraps() {
        let stands = Stands::default();
        stands.lapse(u32::MAX - 8);
        let mut call = stands.count(u32::MAX);
        assert_eq!((stands.get(u32::MAX), stands.get(0), stands.get(2)), (1, 1, 0));
        call.show(0);
        assert_eq!(stands.get(2), 1);
        drop(call);
        assert_eq!(stands.get(0), 0);
    }
}
