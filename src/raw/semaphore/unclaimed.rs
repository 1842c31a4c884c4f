//! Permits that were granted and that anyone may claim: see [`Waiter::claiming`](super::Waiter::claiming).
//!
//! ```text
//! [ epoch : 8 | granted before this epoch : 28 | granted in it : 28 ]
//! ```
//!
//! There are at most as many as nodes, fewer than 2^28.
//!
//! An epoch ends when somebody looks for silent waiters and no permit is left from before it. Whoever looks twice in one
//! epoch and finds a permit from before it both times knows that nobody has claimed that one in between. An epoch lasts
//! from one look to the next at least. Whoever looks after so long that a multiple of 256 of them has passed may take a permit
//! that is newer, and its waiter waits again.

use crate::sync::atomic::{AtomicU64, Ordering};

const BITS: u32 = 28;
const MASK: u64 = (1 << BITS) - 1;

pub(super) struct Unclaimed {
    word: AtomicU64,
    /// How long a waiter may take to claim, in ns.
    longest: AtomicU64,
}

/// Names the time of a grant or a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u8);

impl Epoch {
    pub(crate) fn from_number(number: u32) -> Self {
        Self((number & 0xFF) as u8)
    }

    pub(crate) fn number(self) -> u32 {
        u32::from(self.0)
    }
}

#[derive(Clone, Copy)]
struct Counts {
    epoch: Epoch,
    before: u64,
    now: u64,
}

impl Counts {
    fn of(word: u64) -> Self {
        let epoch = Epoch((word >> (2 * BITS)) as u8);
        Self { epoch, before: word >> BITS & MASK, now: word & MASK }
    }

    fn word(self) -> u64 {
        u64::from(self.epoch.0) << (2 * BITS) | self.before << BITS | self.now
    }

    /// One fewer, of those granted in `epoch` if there is one.
    fn without_one_of(self, epoch: Epoch) -> Option<Self> {
        let is_new = self.now > 0 && (epoch == self.epoch || self.before == 0);
        if is_new {
            Some(Self { now: self.now - 1, ..self })
        } else {
            Some(Self { before: self.before.checked_sub(1)?, ..self })
        }
    }

    /// The next epoch, if none is left from before this one.
    fn next(self) -> Option<Self> {
        let epoch = Epoch(self.epoch.0.wrapping_add(1));
        (self.before == 0 && self.now > 0).then_some(Self { epoch, before: self.now, now: 0 })
    }
}

impl Unclaimed {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0), longest: AtomicU64::new(0) }
    }

    /// A waiter may take so many ns to claim.
    pub(super) fn wait_for(&self, nanos: u64) {
        // ORDERING: Relaxed: a setting, which those who look may read late.
        self.longest.fetch_max(nanos, Ordering::Relaxed);
    }

    /// The longest of those times.
    pub(super) fn longest(&self) -> u64 {
        // ORDERING: Relaxed, as above.
        self.longest.load(Ordering::Relaxed)
    }

    /// One permit more. The caller grants a waiter afterwards, so that a granted waiter finds one.
    pub(super) fn add(&self) -> Epoch {
        // ORDERING: Release publishes the releaser's work to the Acquire in `change`.
        Counts::of(self.word.fetch_add(1, Ordering::Release)).epoch
    }

    pub(super) fn is_any(&self) -> bool {
        let Counts { before, now, .. } = Counts::of(self.get());
        before + now > 0
    }

    /// Claims a permit, one that was granted in `epoch` if there is one. `false` if there is none at all.
    pub(super) fn claim(&self, epoch: Epoch) -> bool {
        self.change(|counts| counts.without_one_of(epoch)).is_some()
    }

    /// Claims a permit that was granted before the look that `seen` tells of and that nobody has claimed since.
    pub(super) fn claim_lapsed(&self, seen: &mut Option<Epoch>) -> bool {
        let since = *seen;
        let lapsed = self.change(|counts| {
            (since == Some(counts.epoch) && counts.before > 0)
                .then(|| Counts { before: counts.before - 1, ..counts })
        });
        if lapsed.is_some() {
            return true;
        }
        let next = self.change(Counts::next);
        *seen = Some(next.unwrap_or_else(|| Counts::of(self.get())).epoch);
        false
    }

    fn get(&self) -> u64 {
        // ORDERING: Relaxed: a guess, and an exchange decides. Whoever claims after a grant has acquired the waiter's word,
        // and with it the count.
        self.word.load(Ordering::Relaxed)
    }

    /// Returns what it was changed to, or `None` if it stays.
    fn change(&self, change: impl Fn(Counts) -> Option<Counts>) -> Option<Counts> {
        let mut word = self.get();
        loop {
            let to = change(Counts::of(word))?;
            // ORDERING: Acquire pairs with the Release in `add`: the holder sees what earlier holders did.
            match self.word.compare_exchange_weak(
                word,
                to.word(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(to),
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle))))]
mod tests {
    use super::{Counts, Epoch, Unclaimed};

    fn counts(unclaimed: &Unclaimed) -> (u64, u64) {
        let counts = Counts::of(unclaimed.get());
        (counts.before, counts.now)
    }

    #[test]
    fn only_a_permit_that_stayed_from_one_look_to_the_next_lapses() {
        let unclaimed = Unclaimed::new();
        let (mut looker, mut other) = (None, None);
        assert!(!unclaimed.claim_lapsed(&mut looker), "there is none");
        let silent = unclaimed.add();
        assert!(!unclaimed.claim_lapsed(&mut looker), "it is new");
        let busy = unclaimed.add();
        assert!(!unclaimed.claim_lapsed(&mut other), "another one looks for the first time");
        assert_eq!(counts(&unclaimed), (1, 1));
        assert!(unclaimed.claim(busy));
        assert_eq!(counts(&unclaimed), (1, 0), "the busy one claims its own");
        assert!(unclaimed.claim_lapsed(&mut looker));
        assert!(!unclaimed.claim_lapsed(&mut other));
        assert!(!unclaimed.claim(silent), "the silent one comes too late");
    }

    #[test]
    fn the_epoch_wraps_and_keeps_the_counts() {
        let unclaimed = Unclaimed::new();
        let mut seen = None;
        for _ in 0..1000 {
            unclaimed.add();
            while !unclaimed.claim_lapsed(&mut seen) {}
        }
        assert_eq!(counts(&unclaimed), (0, 0));
        assert_eq!(Epoch::from_number(seen.unwrap().number()), seen.unwrap());
    }
}
