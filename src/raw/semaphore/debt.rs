//! Permits that were removed while they were in use.

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many permits releases pay before any waiter gets one.
pub(super) struct Debt(AtomicU64);

impl Debt {
    /// The most that is recorded.
    const MOST: u64 = i64::MAX.cast_unsigned();

    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// How many permits are owed.
    pub(super) fn owed(&self) -> u64 {
        // ORDERING: Relaxed: a count for information, or for one that has exchanged the state before, and so has acquired
        // every debt that was published on that word (Release in `settle`).
        self.0.load(Ordering::Relaxed)
    }

    /// Adds to the debt, which saturates.
    pub(super) fn add(&self, permits: u64) {
        self.change(|debt| debt.saturating_add(permits).min(Self::MOST));
    }

    /// Takes up to `permits` off the debt, which the caller has in hand and pays; returns how many.
    pub(super) fn claim(&self, permits: u64) -> u64 {
        self.change(|debt| debt.saturating_sub(permits)).min(permits)
    }

    /// Returns the debt before the change.
    fn change(&self, change: impl Fn(u64) -> u64) -> u64 {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut debt = self.0.load(Ordering::Relaxed);
        loop {
            // ORDERING: Relaxed: the permits paid are gone, so nothing is handed on. `settle` publishes
            // with DEBT that there is a debt.
            match self.0.compare_exchange_weak(
                debt,
                change(debt),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return debt,
                Err(now) => debt = now,
            }
        }
    }
}
