//! How many calls may be in line.

use super::counts::Counted;
use crate::error::Refused;
use crate::sync::atomic::{AtomicU64, Ordering};

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
