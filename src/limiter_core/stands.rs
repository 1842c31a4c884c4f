//! How many calls stand for a shared permit and have shown lately that they are polled.
//!
//! ```text
//! [ stretch : 16 | last seen in the one before : 24 | last seen in this one : 24 ]
//! ```
//!
//! A call that stands shows itself once in each stretch, so a silent one counts no more after the stretch that follows.
//! Stretches are short for the first calls, and long for those far behind, which show themselves less often. Those that
//! count keep room from others. The count is a guess: if it is too low, more calls stand than can go, and wait in front of
//! the others when they are granted a permit.

use super::counts::{Count, Counted};
use super::grace::Ticks;
use crate::sync::atomic::{AtomicU64, Ordering};

const FIELD: u64 = (1 << 24) - 1;

#[derive(Debug)]
pub(super) struct Stands {
    /// By their [distance](Ticks::distance) from the front.
    distances: [Distance; 5],
    /// Silent ones included.
    all: Count,
}

impl Stands {
    pub(super) fn new() -> Self {
        // One more than there are from one look to the next.
        let near = u64::from(Ticks::BETWEEN_LOOKS.unsigned_abs()) + 1;
        Self {
            distances: core::array::from_fn(|k| Distance::new(near << k)),
            all: Count::default(),
        }
    }

    /// Counts a call behind `ahead` others until the answer is dropped.
    pub(super) fn count(&self, now: Ticks, ahead: u64) -> Standing<'_> {
        let among = self.among(ahead);
        let last_seen = among.show(None, now);
        Standing { stands: self, among, last_seen, _counted: self.all.count() }
    }

    /// How many count now.
    pub(super) fn get(&self, now: Ticks) -> u64 {
        self.distances.iter().map(|distance| distance.get(now)).sum()
    }

    /// How many have not shown themselves lately.
    pub(super) fn silent(&self, now: Ticks) -> u64 {
        self.all.get().saturating_sub(self.get(now))
    }

    fn among(&self, ahead: u64) -> &Distance {
        &self.distances[Ticks::distance(ahead) as usize]
    }
}

/// Those at one distance from the front.
#[derive(Debug)]
struct Distance {
    word: AtomicU64,
    /// In ticks.
    length: u64,
}

/// Names a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch(u16);

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
            // A thread that has read the clock earlier; or the clock has stepped back, and all count so much longer.
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

impl Distance {
    fn new(length: u64) -> Self {
        Self { word: AtomicU64::new(0), length }
    }

    fn stretch(&self, now: Ticks) -> Stretch {
        Stretch(((now.count() / self.length) & 0xFFFF) as u16)
    }

    fn get(&self, now: Ticks) -> u64 {
        // ORDERING: Relaxed: a guess, as all of this.
        let counts = Counts::of(self.word.load(Ordering::Relaxed)).at(self.stretch(now));
        counts.before + counts.now
    }

    fn show(&self, last_seen: Option<Stretch>, now: Ticks) -> Stretch {
        let shown = self.change(|counts| {
            let counts = counts.at(self.stretch(now));
            let others = last_seen.map_or(counts, |seen| counts.without_one_of(seen));
            Counts { now: others.now + 1, ..others }
        });
        shown.stretch
    }

    fn change(&self, change: impl Fn(Counts) -> Counts) -> Counts {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let to = change(Counts::of(word));
            // ORDERING: Relaxed: it guards nothing. With a stale count room is unused for longer, or a call is woken in
            // vain.
            let changed = self.word.compare_exchange_weak(
                word,
                to.word(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
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
    among: &'a Distance,
    last_seen: Stretch,
    _counted: Counted<'a>,
}

impl Standing<'_> {
    /// It is polled, with `ahead` others before it.
    pub(super) fn show(&mut self, now: Ticks, ahead: u64) {
        let among = self.stands.among(ahead);
        if !core::ptr::eq(among, self.among) {
            self.among.change(|counts| counts.without_one_of(self.last_seen));
            (self.among, self.last_seen) = (among, among.show(None, now));
        } else if self.last_seen != among.stretch(now) {
            self.last_seen = among.show(Some(self.last_seen), now);
        }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.among.change(|counts| counts.without_one_of(self.last_seen));
    }
}

#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle))))]
mod tests {
    use super::{Stands, Ticks};
    /// After so many stretches of those near the front, or of those far behind.
    fn after(stretches: u64, length: u64) -> Ticks {
        Ticks::from_count(stretches * length)
    }

    #[test]
    fn a_call_that_shows_itself_counts_and_a_silent_one_does_not() {
        for (ahead, length) in [(0, 6), (127, 6), (128, 12), (5000, 96)] {
            let stands = Stands::new();
            let at = |stretch| after(stretch, length);
            let (mut busy, silent) = (stands.count(at(3), ahead), stands.count(at(3), ahead));
            assert_eq!(stands.get(at(4)), 2);
            busy.show(at(4), ahead);
            assert_eq!((stands.get(at(4)), stands.get(at(5)), stands.get(at(6))), (2, 1, 0));
            busy.show(at(5), ahead);
            drop(silent);
            assert_eq!((stands.get(at(5)), stands.get(at(6)), stands.silent(at(6))), (1, 1, 0));
            assert_eq!((stands.get(at(7)), stands.silent(at(7))), (0, 1));
            drop(busy);
            assert_eq!(stands.silent(at(7)), 0);
        }
    }

    #[test]
    fn a_call_that_comes_near_counts_once() {
        let stands = Stands::new();
        let mut call = stands.count(after(1, 96), 200);
        call.show(after(1, 96), 63);
        assert_eq!(stands.get(after(1, 96)), 1);
        drop(call);
        assert_eq!(stands.get(after(1, 96)), 0);
    }

    #[test]
    fn the_stretch_wraps() {
        let stands = Stands::new();
        let at = |stretch| after(stretch, 6);
        // The first word is far from there.
        drop(stands.count(at(0x8000), 0));
        let mut call = stands.count(at(0xFFFF), 0);
        assert_eq!((stands.get(at(0x1_0000)), stands.get(at(0x1_0001))), (1, 0));
        call.show(at(0x1_0000), 0);
        assert_eq!(stands.get(at(0x1_0001)), 1);
        drop(call);
        assert_eq!(stands.get(at(0x1_0000)), 0);
    }
}
