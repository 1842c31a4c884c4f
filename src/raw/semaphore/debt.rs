//! Permits that were removed while they were in use.

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many permits releases pay before any waiter gets one. Signed: it is negative while more has been
/// cancelled than is written down.
pub(super) struct Debt(AtomicU64);

impl Debt {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// How many permits are owed.
    pub(super) fn owed(&self) -> u64 {
        // ORDERING: Relaxed: a count for information, or in `take_back_for_debt`, whose exchange of the state
        // acquired every debt that an earlier `settle` published on that word.
        payable(self.0.load(Ordering::Relaxed).cast_signed())
    }

    /// Adds to the debt, which saturates.
    pub(super) fn add(&self, permits: u64) {
        self.change(|debt| debt.saturating_add_unsigned(permits));
    }

    /// Takes permits off the debt that no longer exist. The debt turns negative if it is yet to be added.
    pub(super) fn cancel(&self, permits: u64) {
        self.change(|debt| debt.saturating_sub_unsigned(permits));
    }

    /// Takes up to `permits` off the debt, for the caller to pay; returns how many.
    pub(super) fn claim(&self, permits: u64) -> u64 {
        let claimed = |debt| payable(debt).min(permits);
        claimed(self.change(|debt| debt.saturating_sub_unsigned(claimed(debt))))
    }

    /// Returns the debt before the change.
    fn change(&self, change: impl Fn(i64) -> i64) -> i64 {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut debt = self.0.load(Ordering::Relaxed);
        loop {
            // ORDERING: Relaxed: the permits paid are gone, so nothing is handed on. `settle` publishes
            // with DEBT that there is a debt.
            match self.0.compare_exchange_weak(
                debt,
                change(debt.cast_signed()).cast_unsigned(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return debt.cast_signed(),
                Err(now) => debt = now,
            }
        }
    }
}

fn payable(debt: i64) -> u64 {
    debt.max(0).cast_unsigned()
}
