//! How many calls are in line, and how many may be.

use crate::error::Refused;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The number of calls in line, the head included.
#[derive(Debug)]
pub(super) struct QueueLength(AtomicU64);

impl QueueLength {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn get(&self) -> u64 {
        // ORDERING: Relaxed: a count for information.
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more call for as long as the guard lives.
    pub(super) fn count(&self) -> Counted<'_> {
        // ORDERING: Relaxed: a count for information.
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(&self.0)
    }
}

/// One call in a count, until it is dropped.
pub(super) struct Counted<'a>(&'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: the count guards nothing but itself.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The maximum of calls in line.
#[derive(Debug)]
pub(super) struct QueueLimit {
    max: u64,
    taken: AtomicU64,
}

impl QueueLimit {
    pub(super) fn new(max: usize) -> Self {
        Self { max: u64::try_from(max).unwrap_or(u64::MAX), taken: AtomicU64::new(0) }
    }

    /// Takes one of the places for as long as the guard lives.
    pub(super) fn take(&self) -> Result<Counted<'_>, Refused> {
        // ORDERING: Relaxed: the count guards nothing but itself.
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            // MUTANTS: take
            if taken >= self.max {
                return Err(Refused::until_one_leaves());
            }
            // ORDERING: Relaxed, as above.
            match self.taken.compare_exchange_weak(
                taken,
                taken + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(Counted(&self.taken)),
                Err(now) => taken = now,
            }
        }
    }
}
