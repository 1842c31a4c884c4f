//! What was granted and will not be used, by the number of its lease.
//!
//! ```text
//! [ number of the lease, its low bits : 24 | amount : 40 ]
//! ```
//!
//! A lease has a word from before it is shown until [`KEPT`] more were granted. What comes back later is dropped: whoever grants
//! counts it as used.

use super::MOST;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::zeros;

/// For how many leases it is known what comes back.
#[cfg(not(ringgate_loom))]
pub(crate) const KEPT: u64 = 512;
/// Few, so that a model can begin each execution with new ones.
#[cfg(ringgate_loom)]
pub(crate) const KEPT: u64 = 4;

const BITS: u32 = 40;

#[derive(Debug)]
pub(super) struct Unused(Box<[AtomicU64]>);

/// The word of a lease that nothing has come back of.
fn empty(number: u64) -> u64 {
    number << BITS
}

impl Unused {
    pub(super) fn new() -> Self {
        Self(zeros(usize::try_from(KEPT).unwrap_or(usize::MAX)))
    }

    fn word(&self, number: u64) -> &AtomicU64 {
        // It is less than the length.
        let index = usize::try_from(number % KEPT).unwrap_or(0);
        &self.0[index]
    }

    /// Makes the word of a lease that is to be granted. What is there of an old one is dropped.
    pub(super) fn begin(&self, number: u64) {
        // ORDERING: Relaxed: the Release of the lease's number comes after it, and whoever adds to this lease has seen that number.
        self.word(number).swap(empty(number), Ordering::Relaxed);
    }

    /// So much of the lease comes back, of which the newest number is known.
    pub(super) fn add(&self, number: u64, newest: u64, amount: u64) {
        if amount == 0 || number == 0 || newest.saturating_sub(number) >= KEPT {
            return;
        }
        let word = self.word(number);
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut found = word.load(Ordering::Relaxed);
        // Another number: it has been too long.
        // MUTANTS: leases add
        while found & !MOST == empty(number) {
            let sum = (found & MOST).saturating_add(amount).min(MOST);
            // ORDERING: Relaxed: the amount alone. Whoever is told it grants by it, and reads nothing of this call.
            match word.compare_exchange_weak(
                found,
                empty(number) | sum,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => found = now,
            }
        }
    }

    /// Takes what has come back of up to `most` leases, the oldest first.
    pub(super) fn take(&self, newest: u64, most: usize) -> Vec<(u64, u64)> {
        let oldest = newest.saturating_sub(KEPT - 1).max(1);
        let all = (oldest..=newest).filter_map(|number| {
            let word = self.word(number);
            // ORDERING: Relaxed: a guess, so that words without an amount are not written.
            let amount = (word.load(Ordering::Relaxed) & MOST > 0)
                // ORDERING: Relaxed, as in `add`. Of an amount that is added meanwhile, all or nothing is taken.
                .then(|| word.fetch_and(!MOST, Ordering::Relaxed) & MOST)?;
            Some((number, amount))
        });
        all.take(most).collect()
    }
}
