//! When the level changes: halved by an overload, at most once a round trip, and one higher after as many successes as it is high.
//!
//! ```text
//! [ answers left of the round trip : 32 | successes since the level changed : 32 ]
//! ```
//!
//! When an overload halves the level, the other calls in flight were sent under the old one. Their answers say nothing about the
//! new one, so as many are awaited before an overload counts again. Successes count at once.
//!
//! Here it is decided that the level changes, by the exchange of one word, so that of two calls that are told the same one decides.
//! That call then changes the level in the gate. If it stops in between, the level has changed once less, and the gate is as
//! consistent as before.

use crate::sync::atomic::{AtomicU64, Ordering};

/// What has been answered since the level changed.
#[derive(Debug, Default)]
pub(super) struct Aimd(AtomicU64);

/// How many calls may be in flight and how many are, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    /// How many may be.
    pub(super) limit: u32,
    /// How many are.
    pub(super) in_flight: u32,
    /// Whether the limit is as high as it may be.
    pub(super) is_highest: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Answers {
    /// How many are left until an overload counts again.
    awaited: u32,
    successes: u32,
}

impl Aimd {
    /// A call was answered. Returns whether the level is to rise by one.
    ///
    /// At the highest level, and if no answers are awaited, it writes nothing.
    pub(super) fn succeed(&self, seen: Level) -> bool {
        self.change(|Answers { awaited, successes }| {
            let successes = if seen.is_highest { 0 } else { successes + 1 };
            let rises = !seen.is_highest && successes >= seen.limit;
            let successes = if rises { 0 } else { successes };
            (Answers { awaited: awaited.saturating_sub(1), successes }, rises)
        })
    }

    /// A call was answered with an overload. Returns whether the level is to be lowered.
    pub(super) fn overload(&self, seen: Level) -> bool {
        self.change(|Answers { awaited, successes }| {
            if awaited > 0 {
                return (Answers { awaited: awaited - 1, successes }, false);
            }
            if seen.limit <= 1 {
                return (Answers { awaited, successes }, false);
            }
            // Without the one that tells it.
            (Answers { awaited: seen.in_flight.saturating_sub(1), successes: 0 }, true)
        })
    }

    /// Returns what the change says of itself.
    fn change(&self, change: impl Fn(Answers) -> (Answers, bool)) -> bool {
        // ORDERING: Relaxed, here and below: the word is all there is to agree on. What the call that decides does then, is
        // in the gate's word.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let before = Answers::of(word);
            let (after, told) = change(before);
            if after == before && !told {
                return false;
            }
            // ORDERING: as above.
            match self.0.compare_exchange_weak(
                word,
                after.word(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return told,
                Err(now) => word = now,
            }
        }
    }
}

impl Answers {
    fn of(word: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "each is one half")]
        let (awaited, successes) = ((word >> 32) as u32, word as u32);
        Self { awaited, successes }
    }

    fn word(self) -> u64 {
        u64::from(self.awaited) << 32 | u64::from(self.successes)
    }
}
